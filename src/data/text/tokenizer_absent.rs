//! In the place of `tokenizer.rs` where the feature `tokenizers` is off: there is no tokenizer.

use super::vocabulary::{At, Failure};

/// A tokenizer, of which there is none.
#[derive(Clone)]
pub(super) enum JsonTokenizer {}

impl JsonTokenizer {
    pub fn new(_: Vec<u8>) -> Result<Self, String> {
        let reason = "its text has a tokenizer, which this program was built without; build it with `--features \
                      tokenizers`";
        Err(reason.to_owned())
    }

    pub fn json(&self) -> &[u8] {
        match *self {}
    }

    pub fn size(&self) -> usize {
        match *self {}
    }

    pub fn unknown(&self) -> Option<u32> {
        match *self {}
    }

    pub fn may_lose(&self) -> bool {
        match *self {}
    }

    pub fn word(&self, _: u32) -> String {
        match *self {}
    }

    pub fn encode(&self, _: &str, _: bool, _: impl FnMut(u32)) -> Result<(), Failure> {
        match *self {}
    }

    pub fn decode(&self, _: &[u32]) -> Result<String, String> {
        match *self {}
    }

    pub fn first_unknown(&self, _: &str) -> Option<At> {
        match *self {}
    }
}
