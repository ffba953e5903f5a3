//! A backend as a process of its own. It answers every request with 200 until its standard input says otherwise:
//! "500" changes the answers, "refuse" closes the listener and nothing else.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

static REFUSES: AtomicBool = AtomicBool::new(false);
static FAILS: AtomicBool = AtomicBool::new(false);

/// Serves on `address` until the process is killed.
pub(crate) fn serve(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    println!("ready");
    thread::spawn(move || {
        for stream in listener.incoming() {
            if REFUSES.load(Ordering::SeqCst) {
                return;
            }
            let stream = stream.unwrap();
            thread::Builder::new().stack_size(64 * 1024).spawn(move || answer(stream)).unwrap();
        }
    });
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "500" => FAILS.store(true, Ordering::SeqCst),
            "refuse" => {
                REFUSES.store(true, Ordering::SeqCst);
                // Wakes the listener, which closes.
                let _ = TcpStream::connect(address);
            }
            other => panic!("{other}"),
        }
    }
    loop {
        thread::park();
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = [0; 1024];
    while matches!(stream.read(&mut head), Ok(1..)) {
        let status = if FAILS.load(Ordering::SeqCst) { "500 Sorry" } else { "200 OK" };
        if stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_err() {
            return;
        }
    }
}
