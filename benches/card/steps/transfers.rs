//! Bytes a second to the device and back, whole calls included.

use gristmill::{
    DType, Session, Tensor, Tensors,
    testing::{
        graph::Graph,
        ops::{
            moves::slice::{Part, Slice},
            pointwise::{Binary, BinaryFunction},
        },
        shape::{Dim, Shape},
    },
};

use crate::{Kit, Outcome, chain::least_seconds, figure, steps::ways};

pub fn run(kit: &Kit) -> Outcome {
    let [(_, options), ..] = ways();
    for &rows in kit.pick(&[1, 256, 16_384, 131_072][..], &[1, 16][..]) {
        let columns = 1024;
        for (direction, down) in [("up", false), ("down", true)] {
            let mut graph = Graph::new("transfer");
            let shape = |rows: usize| Shape::fixed(&[rows, columns]);
            let x = graph.input("x", DType::F32, shape(if down { 1 } else { rows }));
            let y = if down {
                let column = graph.constant("column", Tensor::new([rows, 1], &vec![1f32; rows])?);
                graph.apply("rows", Binary { function: BinaryFunction::Add }, &[x, column])?
            } else {
                // A sum first, so that a slice of the input itself is not made on the host.
                let one = graph.constant("one", Tensor::new([1, 1], &[1f32])?);
                let sum = graph.apply("sum", Binary { function: BinaryFunction::Add }, &[x, one])?;
                let part = Part { axis: 0, start: Dim::from(0), end: Dim::from(1), step: 1 };
                graph.apply("row", Slice { parts: vec![part] }, &[sum])?
            };
            graph.output("y", y);
            let session = Session::load(graph, &options.clone().keep_graph())?;
            let len = if down { columns } else { rows * columns };
            let shape = [len / columns, columns];
            let inputs = Tensors::from([("x", Tensor::new(shape, &vec![0.5f32; len])?)]);
            let seconds = least_seconds(kit.pick(6, 2), || session.run(&inputs).map(drop))?;
            let bytes = 4 * rows * columns;
            let row = format!("{:.3} MB", bytes as f64 / 1e6);
            figure::cell("a call", &row, &format!("{direction}, ms"), seconds * 1e3);
            figure::cell("a call", &row, &format!("{direction}, GB/s"), bytes as f64 / seconds / 1e9);
        }
    }
    Ok(())
}
