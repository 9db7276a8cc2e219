//! A bucket of Amazon's protocol on loopback: enough of it to list objects and to read ranges of them, and to be away.
#![cfg(all(feature = "object-store", unix))]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rekindle::data::Fingerprint;

/// The objects of the bucket `bucket`, which a thread serves until the test ends.
#[derive(Clone)]
pub struct Bucket(Arc<Shared>);

struct Shared {
    port: u16,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The number of requests after which it answers nothing but errors.
    away_after: AtomicU64,
    requests: AtomicU64,
}

impl Bucket {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Shared {
            port: listener.local_addr().unwrap().port(),
            objects: Mutex::default(),
            away_after: AtomicU64::new(u64::MAX),
            requests: AtomicU64::new(0),
        };
        let bucket = Self(Arc::new(shared));
        let serving = bucket.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bucket = serving.clone();
                thread::spawn(move || bucket.serve(stream));
            }
        });
        bucket
    }

    pub fn put(&self, name: &str, content: Vec<u8>) {
        self.0.objects.lock().unwrap().insert(name.to_owned(), content);
    }

    pub fn remove(&self, name: &str) -> Vec<u8> {
        self.0.objects.lock().unwrap().remove(name).unwrap()
    }

    /// Answers nothing but errors after this number of requests from now.
    pub fn be_away_after(&self, requests: u64) {
        self.0.away_after.store(self.requests().saturating_add(requests), Ordering::SeqCst);
    }

    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// Lets a program use the bucket.
    pub fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.0.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("NO_PROXY", "127.0.0.1")
            .env("REKINDLE_STORE_TIMEOUT", "2")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                match line.trim() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let number = self.0.requests.fetch_add(1, Ordering::SeqCst);
            let answer = if number < self.0.away_after.load(Ordering::SeqCst) {
                self.answer(&lines)
            } else {
                plain("503 Service Unavailable", "", b"", true)
            };
            if writer.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, lines: &[String]) -> Vec<u8> {
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let objects = self.0.objects.lock().unwrap();
        if query.contains("list-type=2") {
            let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or("");
            let prefix = prefix.replace("%2F", "/");
            let inside = objects.iter().filter(|(name, _)| name.starts_with(&prefix));
            let listed: String = inside
                .map(|(name, content)| {
                    let (bytes, tag) = (content.len(), tag(content));
                    format!(
                        "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                         <ETag>{tag}</ETag><Size>{bytes}</Size></Contents>"
                    )
                })
                .collect();
            let xml = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>");
            return plain("200 OK", "Content-Type: application/xml\r\n", xml.as_bytes(), true);
        }
        let Some(content) = path.strip_prefix("/bucket/").and_then(|name| objects.get(name)) else {
            return plain("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>", method != "HEAD");
        };
        let about = format!("ETag: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", tag(content));
        let range = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let (start, end) =
                value.strip_prefix("bytes=").filter(|_| name.eq_ignore_ascii_case("range"))?.split_once('-')?;
            Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?.min(content.len() - 1)))
        });
        match range {
            Some((start, _)) if start >= content.len() => plain("416 Range Not Satisfiable", "", b"", true),
            Some((start, end)) => {
                let about = format!("{about}Content-Range: bytes {start}-{end}/{}\r\n", content.len());
                plain("206 Partial Content", &about, &content[start..=end], true)
            }
            None => plain("200 OK", &about, content, method != "HEAD"),
        }
    }
}

fn tag(content: &[u8]) -> String {
    format!("\"{}\"", &Fingerprint::of(content).blake3[..16])
}

fn plain(status: &str, about: &str, body: &[u8], has_body: bool) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{about}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), if has_body { body } else { b"" }].concat()
}
