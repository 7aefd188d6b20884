//! One step of all items, from their gates' sums.

use crate::{
    error::Result,
    kernels::{KernelSet, rational},
    ops::recurrent::{Cell, StepFunction, weights::Factors},
};

/// What the steps of one way share.
pub(super) struct Step<'a> {
    pub(super) set: KernelSet,
    pub(super) cell: Cell,
    pub(super) functions: &'a [StepFunction],
    pub(super) clip: Option<f32>,
    /// Numbers of an item's state.
    pub(super) size: usize,
    /// The weights of the state.
    pub(super) matrices: Factors<'a>,
    /// The bias of the state's product, where it is not in the gates already.
    pub(super) state_bias: Option<&'a [f32]>,
    pub(super) peepholes: Option<&'a [f32]>,
    /// Whether states become bytes, so that the last bit of a function counts.
    pub(super) bytes: bool,
}

/// The states of all items, `size` numbers each.
pub(super) struct States<'a> {
    pub(super) hidden: &'a mut [f32],
    pub(super) cell: &'a mut [f32],
}

impl Step<'_> {
    /// Replaces the states by the next ones. `sums` are those of the input; `gates` and `products`
    /// have room for as many numbers.
    pub(super) fn run(
        &self,
        sums: &[f32],
        states: &mut States<'_>,
        gates: &mut [f32],
        products: &mut [f32],
    ) -> Result<()> {
        match self.cell {
            Cell::Lstm { coupled } => {
                self.product(states.hidden, 0, [None, Some(sums)], gates)?;
                self.lstm(coupled, gates, states);
                Ok(())
            }
            Cell::Gru { linear_before_reset } => {
                gates.copy_from_slice(sums);
                self.gru(linear_before_reset, gates, states.hidden, products)
            }
            Cell::Rnn => {
                self.product(states.hidden, 0, [None, Some(sums)], gates)?;
                self.apply(0, gates);
                states.hidden.copy_from_slice(gates);
                Ok(())
            }
        }
    }

    /// The product of states and one matrix, plus a bias and a summand.
    fn product(&self, states: &[f32], matrix: usize, added: [Option<&[f32]>; 2], to: &mut [f32]) -> Result<()> {
        let rows = states.len() / self.size;
        self.matrices.product(self.set, matrix, states, rows, added, to)
    }

    /// Limits sums and applies a function.
    fn apply(&self, function: usize, sums: &mut [f32]) {
        if let Some(clip) = self.clip {
            sums.iter_mut().for_each(|x| *x = x.clamp(-clip.abs(), clip.abs()));
        }
        self.function(function, sums);
    }

    fn function(&self, function: usize, data: &mut [f32]) {
        match self.functions[function] {
            StepFunction::Sigmoid if self.bytes => rational::sigmoid(self.set, data),
            StepFunction::Tanh if self.bytes => rational::tanh(self.set, data),
            function => function.apply(self.set, data),
        }
    }

    fn lstm(&self, coupled: bool, gates: &mut [f32], states: &mut States<'_>) {
        let size = self.size;
        if let Some(bias) = self.state_bias {
            gates.chunks_exact_mut(4 * size).for_each(|gates| add(gates, bias));
        }
        let hidden = states.hidden.chunks_exact_mut(size);
        let items = gates.chunks_exact_mut(4 * size).zip(hidden.zip(states.cell.chunks_exact_mut(size)));
        // Without peepholes the three gates that stand side by side are ready at once.
        let at_once = self.peepholes.is_none() && !coupled;
        for (gates, (hidden, cell)) in items {
            if at_once {
                self.apply(0, &mut gates[..3 * size]);
            }
            let (input, rest) = gates.split_at_mut(size);
            let (output, rest) = rest.split_at_mut(size);
            let (forget, candidate) = rest.split_at_mut(size);
            if let Some(peepholes) = self.peepholes {
                add_product(input, &peepholes[..size], cell);
                add_product(forget, &peepholes[2 * size..], cell);
            }
            if !at_once {
                self.apply(0, input);
                if coupled {
                    forget.iter_mut().zip(&*input).for_each(|(forget, input)| *forget = 1.0 - input);
                } else {
                    self.apply(0, forget);
                }
            }
            self.apply(1, candidate);
            for index in 0..size {
                cell[index] = forget[index] * cell[index] + input[index] * candidate[index];
            }
            if let Some(peepholes) = self.peepholes {
                add_product(output, &peepholes[size..2 * size], cell);
            }
            if !at_once {
                self.apply(0, output);
            }
            hidden.copy_from_slice(cell);
            self.function(2, hidden);
            hidden.iter_mut().zip(&*output).for_each(|(hidden, output)| *hidden *= output);
        }
    }

    fn gru(&self, late: bool, gates: &mut [f32], hidden: &mut [f32], products: &mut [f32]) -> Result<()> {
        let size = self.size;
        if late {
            self.product(hidden, 0, [self.state_bias, None], products)?;
        } else {
            self.product(hidden, 0, [None; 2], &mut products[..hidden.len() * 2])?;
        }
        let width = if late { 3 * size } else { 2 * size };
        for (gates, own) in gates.chunks_exact_mut(3 * size).zip(products.chunks_exact(width)) {
            let (early, candidate) = gates.split_at_mut(2 * size);
            add(early, &own[..2 * size]);
            self.apply(0, early);
            if late {
                add_product(candidate, &early[size..], &own[2 * size..]);
            }
        }
        if !late {
            let (reset, candidates) = products.split_at_mut(hidden.len());
            for (item, gates) in gates.chunks_exact(3 * size).enumerate() {
                for index in 0..size {
                    reset[item * size + index] = gates[size + index] * hidden[item * size + index];
                }
            }
            let candidates = &mut candidates[..hidden.len()];
            self.product(reset, 1, [None; 2], candidates)?;
            for (gates, own) in gates.chunks_exact_mut(3 * size).zip(candidates.chunks_exact(size)) {
                add(&mut gates[2 * size..], own);
            }
        }
        for (gates, hidden) in gates.chunks_exact_mut(3 * size).zip(hidden.chunks_exact_mut(size)) {
            let (early, candidate) = gates.split_at_mut(2 * size);
            self.apply(1, candidate);
            for index in 0..size {
                hidden[index] = (1.0 - early[index]) * candidate[index] + early[index] * hidden[index];
            }
        }
        Ok(())
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
}

/// Adds the products of two slices.
fn add_product(to: &mut [f32], a: &[f32], b: &[f32]) {
    to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to += a * b);
}
