//! Every operator of the list on every case, in the fastest kernel set: `cargo bench --bench operators [-- PART OF A NAME]`.

#[path = "support/timing.rs"]
mod timing;

use std::time::Duration;

use gristmill::{
    Device, Session, SessionOptions, Tensors,
    testing::{
        op::{CaseInput, CpuState},
        ops,
    },
};
use timing::Timing;

fn main() {
    let timing = Timing::from_args();
    for def in ops::all().iter().filter(|def| matches!(def.cpu, CpuState::Kernel(_))) {
        for case in (def.cases)() {
            let graph = case.graph().expect("the cases fit their operators");
            let options = SessionOptions::on(Device::Cpu).keep_graph();
            let session = Session::load(graph, &options).expect("the operator has a kernel");
            let mut inputs = Tensors::new();
            for (index, input) in case.inputs.iter().enumerate() {
                if let CaseInput::Value(tensor) = input {
                    inputs.insert(format!("x{index}"), tensor.clone());
                }
            }
            let name = format!("{} `{}`", def.name, case.name);
            timing.measure(&name, 1, Duration::from_millis(50), || session.run(&inputs));
        }
    }
}
