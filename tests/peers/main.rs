//! Other trainers' checkpoints, which their own programs wrote: `tests/peers/cases/README.md`.

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod cases;
mod continues;
mod docs;
mod export;
mod hugging_face;
mod inspects;
mod onnx;
mod onnx_file;
mod program;
mod refusals;
