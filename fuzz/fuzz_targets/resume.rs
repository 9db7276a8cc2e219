#![no_main]

#[path = "../../tests/common_hostile/mod.rs"]
mod common_hostile;

use common_hostile::{Arena, resume};

thread_local!(static ARENA: Arena = Arena::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ARENA.with(|arena| resume(arena, bytes)));
