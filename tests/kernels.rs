//! Every CPU kernel of every kernel set against plain loops, on ragged shapes and hostile values.

#[path = "oracle/kernels.rs"]
mod oracle;

#[path = "kernels/support.rs"]
mod support;

#[path = "kernels/functions.rs"]
mod functions;
#[path = "kernels/products.rs"]
mod products;
#[path = "kernels/rows.rs"]
mod rows;
