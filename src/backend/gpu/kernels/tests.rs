//! Every shader that the cases of the operators use is valid WGSL, checked without a GPU.

use crate::{
    backend::gpu::{
        cooperative::Matrices,
        kernel::Made,
        kernels::*,
        operand::WeightFormat,
        program::{Program, Programs},
        request::{GpuRequest, PackedWeights},
        shader::{Shader, wgsl},
    },
    graph::Graph,
    kernels::Activation,
    op::GpuState,
    ops::{self, product::linear::Linear},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

const POINTWISE: Shader = wgsl!("pointwise");

#[test]
fn every_variant_is_valid() {
    every_variant(&Programs::new(false), WeightFormat::F32);
}

#[test]
fn every_variant_is_valid_with_subgroups() {
    every_variant(&Programs::new(true), WeightFormat::F32);
}

#[test]
fn every_variant_is_valid_with_weights_in_f16() {
    let programs = Programs::new(false);
    every_variant(&programs, WeightFormat::F16);
    let unpacked = |stem: &str| {
        let all = programs.all();
        all.iter().any(|program| program.stem == stem && program.source.contains("unpack2x16float"))
    };
    assert!(unpacked("linear") && unpacked("conv"));
}

fn every_variant(programs: &Programs, format: WeightFormat) {
    let weights = PackedWeights::default();
    let mut made_of: Vec<&str> = Vec::new();
    for def in ops::all() {
        let GpuState::Kernel(name) = def.gpu else { continue };
        let make = find(name).unwrap().make;
        let mut kernels = 0;
        for case in (def.cases)() {
            let graph = case.graph().unwrap();
            let node = &graph.nodes()[0];
            let request = GpuRequest::new(&graph, node, programs, &weights, 128 << 20, (format, None));
            if request.uncarried().is_some() {
                continue;
            }
            let made = make(&request).unwrap_or_else(|error| panic!("{} {}: {error}", def.name, case.name));
            kernels += usize::from(matches!(made, Made::Kernel(_)));
            weights.take_pending();
        }
        assert!(kernels > 0, "no case of {} has a kernel: its state is wrong", def.name);
        made_of.push(name);
    }
    for kernel in ALL {
        assert!(made_of.contains(&kernel.name), "no operator runs by the kernel `{}`", kernel.name);
    }
    let all = programs.all();
    assert!(all.len() > ALL.len());
    for program in all {
        program.validate().unwrap_or_else(|error| panic!("{error}\n{}", program.source));
    }
}

#[test]
fn products_by_cooperative_matrices_are_valid() {
    let mut graph = Graph::new("products");
    let rows = Dim::symbol(graph.symbol("rows"));
    let x = graph.input("x", DType::F32, Shape::new(vec![rows.clone(), Dim::from(33)]));
    let residual = graph.input("residual", DType::F32, Shape::new(vec![rows, Dim::from(80)]));
    let constant = |graph: &mut Graph, shape: &[usize]| {
        let count = shape.iter().product();
        graph.constant("c", Tensor::new(shape, &vec![0.5f32; count]).unwrap())
    };
    let (w, bias) = (constant(&mut graph, &[33, 80]), constant(&mut graph, &[80]));
    let op = Linear { activation: Activation::Gelu, ..Linear::default() };
    let y = graph.apply("y", op, &[x, w, bias, residual]).unwrap();
    graph.output("y", y);
    for way in [Matrices::Instructions, Matrices::Loops] {
        let (programs, weights) = (Programs::new(false), PackedWeights::default());
        let forms = (WeightFormat::F16, Some(way));
        let request = GpuRequest::new(&graph, &graph.nodes()[0], &programs, &weights, 128 << 20, forms);
        assert!(matches!((find("linear").unwrap().make)(&request).unwrap(), Made::Kernel(_)));
        let all = programs.all();
        for stem in ["cooperative", "follow", "halves", "linear"] {
            assert!(all.iter().any(|program| program.stem == stem), "{stem}");
        }
        let by_instructions = |program: &Program| program.source.contains("coopMultiplyAdd");
        assert_eq!(all.iter().any(|program| by_instructions(program)), way == Matrices::Instructions);
        for program in all {
            program.validate().unwrap_or_else(|error| panic!("{error}\n{}", program.source));
        }
    }
}

#[test]
fn every_file_is_used() {
    let programs = Programs::new(false);
    every_variant(&programs, WeightFormat::F32);
    let used = programs.all();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = file.strip_suffix(".wgsl") else { continue };
        // Cooperative matrices are used for weights in f16 alone; the test above finds their shaders.
        let matrices = ["cooperative", "follow", "halves"].contains(&stem);
        assert!(matrices || used.iter().any(|program| program.stem == stem), "no kernel uses `{file}`");
    }
}

#[test]
fn an_invalid_shader_is_rejected() {
    // A result of another type than the buffer's.
    let values = [
        ("fields", ""),
        ("bindings", "@group(0) @binding(0) var<storage, read_write> y: array<f32>;"),
        ("operands", ""),
        ("body", ""),
        ("result", "1u"),
    ];
    let programs = Programs::default();
    let refused = match programs.get(&POINTWISE, &values) {
        Ok(program) => program.validate().is_err(),
        Err(_) => true,
    };
    assert!(refused);
}
