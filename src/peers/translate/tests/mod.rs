//! Tests of the translation: by class against the formulas that each library publishes, and by real checkpoints against
//! what their trainers used next.

mod cases;
mod ignite;
mod keras;
mod optimizers;
mod place;
mod timm;
mod torch;
mod transformers;
