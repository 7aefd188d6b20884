#![no_main]
//! Any bytes are an error or a tensor that holds as many elements as its shape says.

use gristmill::testing::import::onnx::read_tensor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((_, tensor)) = read_tensor(bytes) {
        assert_eq!(tensor.len(), tensor.shape().iter().product::<usize>());
    }
});
