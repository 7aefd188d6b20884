//! Every operator of the list on every case, in the fastest kernel set: `cargo bench --bench operators`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use gristmill::{
    Device, Session, SessionOptions, Tensors,
    testing::{
        op::{CaseInput, CpuState},
        ops,
    },
};

fn operators(criterion: &mut Criterion) {
    for def in ops::all().iter().filter(|def| matches!(def.cpu, CpuState::Kernel(_))) {
        let mut group = criterion.benchmark_group(def.name);
        group.sample_size(10).warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(50));
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
            group.bench_function(&case.name, |bencher| bencher.iter(|| session.run(&inputs)));
        }
        group.finish();
    }
}

criterion_group!(benches, operators);
criterion_main!(benches);
