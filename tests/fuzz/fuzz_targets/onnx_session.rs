#![no_main]
//! Any bytes are an error or a model that loads, and runs where its inputs are small.

use gristmill::{Device, ErrorKind, Model, SessionOptions, Tensor, Tensors};
use libfuzzer_sys::fuzz_target;

const SMALL: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    let session = match model.session(&SessionOptions::on(Device::Cpu)) {
        Ok(session) => session,
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
            return;
        }
    };
    let mut inputs = Tensors::new();
    for (name, fact) in session.inputs() {
        let dims = fact.shape.dims().iter();
        let shape: Vec<usize> = dims.map(|dim| dim.as_fixed().map_or(2, |size| size as usize)).collect();
        let size = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let Some(..=SMALL) = size else { return };
        inputs.insert(name, Tensor::zeros(fact.dtype, shape).expect("a small tensor"));
    }
    let _ = session.run(&inputs);
});
