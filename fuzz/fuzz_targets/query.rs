#![no_main]
//! Octets through the whole of `respond`, with the example's zones: a reply is no longer than it may be, and none comes to a
//! reply. Run in the project's folder, where the example is.

use std::path::Path;
use std::sync::LazyLock;

use rhumb::answer::compile::CounterNumbers;
use rhumb::answer::count::Counters;
use rhumb::answer::respond::{Action, Envelope, Transport, respond};
use rhumb::answer::table::AnswerTable;
use rhumb::config::generation;
use rhumb::health::verdict::Standing;
use rhumb::ids::EndpointId;
use rhumb::time::WallTime;

static TABLE: LazyLock<AnswerTable> = LazyLock::new(|| {
    let (generation, _) = generation::load(Path::new("rhumb.toml")).expect("the example is right");
    generation.plan.table(1, &|_: EndpointId| Standing::UP, &mut CounterNumbers::default())
});

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let counters = Counters::new(TABLE.answer_counters());
    for transport in Transport::ALL {
        let envelope = Envelope { source: [192, 0, 2, 1].into(), transport, at: WallTime(0) };
        let mut reply = vec![0; transport.reply_octets_max()];
        let action = respond(&TABLE, octets, envelope, &mut reply, &counters);
        let is_silent = octets.len() < 12 || octets[2] & 0x80 != 0;
        assert_eq!(action == Action::Ignore, is_silent);
    }
});
