#![no_main]

#[path = "../../tests/common/hostile/mod.rs"]
mod hostile;

use hostile::{Arena, peer_msgpack};

thread_local!(static ARENA: Arena = Arena::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ARENA.with(|arena| peer_msgpack(arena, bytes)));
