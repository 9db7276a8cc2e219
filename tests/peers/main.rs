//! Other trainers' checkpoints, which their own programs wrote: `tests/peers/cases/README.md`.

mod cases;
mod continues;
mod refusals;
