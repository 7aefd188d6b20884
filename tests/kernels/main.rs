//! Every CPU kernel of every kernel set against plain loops, on ragged shapes and hostile values.

mod attention;
mod bf16;
mod functions;
#[cfg(unix)]
mod guards;
#[path = "../oracle/kernels.rs"]
mod oracle;
mod products;
mod rounded;
mod rows;
mod support;
