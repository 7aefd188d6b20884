//! Every CPU kernel of every kernel set against plain loops, on ragged shapes and hostile values.

#[path = "oracle/kernels.rs"]
mod oracle;

#[path = "kernels/support.rs"]
mod support;

#[path = "kernels/attention.rs"]
mod attention;
#[path = "kernels/bf16.rs"]
mod bf16;
#[path = "kernels/functions.rs"]
mod functions;
#[cfg(unix)]
#[path = "kernels/guards.rs"]
mod guards;
#[path = "kernels/products.rs"]
mod products;
#[path = "kernels/rounded.rs"]
mod rounded;
#[path = "kernels/rows.rs"]
mod rows;
