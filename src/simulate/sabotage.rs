//! Bugs put in on purpose, to see that the simulator finds them. Each sits where the parts are put together, so
//! that nothing of it is in the code that serves.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts below say it")]
pub enum Bug {
    QuorumOfOne,
    NobodyEligible,
    StaleVotes,
    NoSpeedLimit,
    FenceIgnored,
    EmptyWhenDown,
    RotatingLots,
    SaltPerNode,
    DelayedApplier,
    NeverBack,
    LaggingIgnored,
    ControlIgnored,
    OffByOneTarget,
    ErrorsPass,
    HangsUnseen,
    FallOfOne,
    NoTogether,
    NoHold,
    WholeRamp,
    NoLoneWait,
    NoDamping,
    ForgottenVerdicts,
    LongTtlInDoubt,
    VotesTwice,
    SilenceIsDown,
    SharesIgnored,
}

/// All of them, each with what it does.
pub const BUGS: [(Bug, &str); 26] = [
    (Bug::QuorumOfOne, "a fifth of the vantages is a quorum"),
    (Bug::NobodyEligible, "no vantage need be eligible"),
    (Bug::StaleVotes, "a vote never grows too old"),
    (Bug::NoSpeedLimit, "withdrawals have no speed limit"),
    (Bug::FenceIgnored, "a hard fence is none"),
    (Bug::EmptyWhenDown, "when all is down nothing is answered"),
    (Bug::RotatingLots, "each table puts clients into other lots"),
    (Bug::SaltPerNode, "each node has lots of its own"),
    (Bug::DelayedApplier, "a table is applied late, over a newer one"),
    (Bug::NeverBack, "nothing comes back by itself"),
    (Bug::LaggingIgnored, "an agent that lags is believed"),
    (Bug::ControlIgnored, "failing control targets are not told"),
    (Bug::OffByOneTarget, "outcomes are told of the next target"),
    (Bug::ErrorsPass, "status 500 passes"),
    (Bug::HangsUnseen, "a probe that times out is no outcome"),
    (Bug::FallOfOne, "one failure is enough"),
    (Bug::NoTogether, "what vantages saw together is not weighed"),
    (Bug::NoHold, "what works comes back at once"),
    (Bug::WholeRamp, "what comes back comes back whole"),
    (Bug::NoLoneWait, "a lone agent moves clients at once"),
    (Bug::NoDamping, "flapping costs nothing"),
    (Bug::ForgottenVerdicts, "a restart forgets the verdicts"),
    (Bug::LongTtlInDoubt, "doubt does not shorten TTLs"),
    (Bug::VotesTwice, "each agent speaks for a second vantage too"),
    (Bug::SilenceIsDown, "who is not heard is taken to see failures"),
    (Bug::SharesIgnored, "a degraded region is given all of its lots"),
];
