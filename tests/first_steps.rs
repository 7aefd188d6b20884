//! The examples for newcomers, run as commands.

#[path = "examples/first_steps.rs"]
mod first_steps;
