//! A running `inspect serve` for tests, what it sends, and runs that grow.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::programs::{INSPECT, Workplace};

/// Time for whatever should happen at once.
pub const SOON: Duration = Duration::from_secs(60);

/// A server, which ends with the value.
pub struct Server {
    pub child: Child,
    pub address: String,
    /// The path and parameters of the printed URL.
    pub entry: String,
}

/// An answer.
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

impl Server {
    pub fn of(place: &Workplace, arguments: &[&str]) -> Self {
        let mut command = place.command(INSPECT, &[&["serve", "--address", "127.0.0.1:0"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let (address, entry) = url.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
        Self { child, address: address.to_owned(), entry: format!("/{entry}") }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends a text, and returns all that comes back.
    pub fn say(&self, text: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub fn ask(&self, method: &str, target: &str, more: &str) -> Answer {
        let host = &self.address;
        self.say(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    pub fn list(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.get("/runs.json").body).unwrap();
        list["runs"].as_array().unwrap().clone()
    }

    pub fn id(&self, name: &str) -> String {
        let run = self.list().into_iter().find(|run| run["name"] == name).unwrap();
        run["id"].as_str().unwrap().to_owned()
    }

    /// Waits for the list to be as wanted.
    pub fn list_until(&self, is_it: impl Fn(&[Value]) -> bool) {
        let begin = Instant::now();
        while !is_it(&self.list()) {
            assert!(begin.elapsed() < SOON, "{:?}", self.list());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The messages of a stream of events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    pub fn of(server: &Server, target: &str, more: &str) -> Self {
        let mut stream = server.connect();
        let host = &server.address;
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// Returns the identifier and the data of the next message. Each message is a chunk.
    pub fn next(&mut self) -> (String, Value) {
        let (mut id, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            if let Some(found) = line.strip_prefix("id: ") {
                id = found.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Returns the next message with points.
    pub fn next_points(&mut self) -> (String, Value) {
        loop {
            let (id, news) = self.next();
            if !news["from"].is_null() {
                return (id, news);
            }
        }
    }
}

/// Returns the steps and values of a curve in a message.
pub fn points(news: &Value, name: &str) -> Vec<(u64, f64)> {
    let curves = news["curves"].as_array().unwrap();
    let Some(curve) = curves.iter().find(|curve| curve["name"] == name) else { return Vec::new() };
    let mut at = 0;
    let steps = curve["x"].as_array().unwrap().iter().map(|more| {
        at += more.as_u64().unwrap();
        at
    });
    let values = curve["y"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
    steps.zip(values).collect()
}

pub fn line(step: u64, loss: f64) -> String {
    format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.5],\"loss\":{loss:?},\"grad_norm\":1.0}}\n")
}

pub fn lines(steps: std::ops::Range<u64>) -> String {
    steps.map(|step| line(step, step as f64)).collect()
}

/// Makes a run of which there is only a log.
pub fn run(place: &Workplace, name: &str, log: &str) -> PathBuf {
    let run = place.path(name);
    fs::create_dir_all(run.join("checkpoints")).unwrap();
    fs::write(run.join("config.toml"), "seed = 1\n").unwrap();
    fs::write(run.join("log.jsonl"), log).unwrap();
    run.join("log.jsonl")
}

pub fn append(log: &Path, text: &str) {
    OpenOptions::new().append(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}
