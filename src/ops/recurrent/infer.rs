//! The shape and batch rules of recurrent layers.

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Inputs, OpDef, Operator},
    ops::{
        conv::symbolic_weights,
        recurrent::{Cell, DYNAMIC, GRU, LSTM, RNN, Recurrent},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

impl Recurrent {
    /// The batch's axis of an operand, if it has one.
    fn batch_axis(&self, operand: usize) -> Option<usize> {
        match operand {
            0 | 5 | 6 => Some(usize::from(!self.batch_first)),
            4 => Some(0),
            _ => None,
        }
    }

    /// Dimensions of the states, with the ways and the batch in their order.
    fn state(&self, batch: &Dim, size: usize) -> Vec<Dim> {
        let mut dims = vec![Dim::from(self.way.count()), batch.clone(), Dim::from(size)];
        if self.batch_first {
            dims.swap(0, 1);
        }
        dims
    }
}

impl Operator for Recurrent {
    fn def(&self) -> &'static OpDef {
        match self.cell {
            _ if self.bytes => &DYNAMIC,
            Cell::Lstm { .. } => &LSTM,
            Cell::Gru { .. } => &GRU,
            Cell::Rnn => &RNN,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let lstm = matches!(self.cell, Cell::Lstm { .. });
        match self.bytes {
            true => inputs.expect(12, 12)?,
            false => inputs.expect(3, if lstm { 8 } else { 6 })?,
        }
        let (x, weights, own) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        let (ways, gates) = (self.way.count(), self.cell.gates());
        let misfit = || Error::invalid_model(format!("an input {x} with weights {weights} and {own}"));
        for operand in [weights, own] {
            if operand.shape.as_fixed().is_none() {
                return Err(symbolic_weights(&operand.shape));
            }
        }
        // Weights of bytes are transposed.
        let usual = |mut dims: Vec<usize>| {
            if self.bytes && dims.len() == 3 {
                dims.swap(1, 2);
            }
            dims
        };
        let dims = own.shape.as_fixed().map(usual);
        let dims = dims.filter(|dims| dims.len() == 3 && dims[0] == ways && dims[1] == gates * dims[2] && dims[2] > 0);
        let size = dims.ok_or_else(misfit)?[2];
        let width = weights.shape.as_fixed().map(usual);
        let width = width.filter(|dims| dims.len() == 3 && dims[..2] == [ways, gates * size]);
        let width = Dim::from(width.ok_or_else(misfit)?[2]);
        if x.shape.rank() != 3 || x.shape[2].as_fixed().is_some_and(|own| Dim::number(own) != width) {
            return Err(misfit());
        }
        if self.functions.len() != ways * self.cell.functions() {
            return Err(Error::invalid_model(format!("{} functions of gates", self.functions.len())));
        }
        let axis = usize::from(!self.batch_first);
        let (steps, batch) = (&x.shape[1 - axis], &x.shape[axis]);
        let state = self.state(batch, size);
        for (index, due) in [
            (3, vec![Dim::from(ways), Dim::from(2 * gates * size)]),
            (4, vec![batch.clone()]),
            (5, state.clone()),
            (6, state.clone()),
            (7, vec![Dim::from(ways), Dim::from(3 * size)]),
        ] {
            let Some(fact) = inputs.fact(index) else { continue };
            let same = |(own, due): (&Dim, &Dim)| own.as_fixed().zip(due.as_fixed()).is_none_or(|(a, b)| a == b);
            if fact.shape.rank() != due.len() || !fact.shape.dims().iter().zip(&due).all(same) {
                return Err(Error::invalid_model(format!("operand {index} is {fact}, expected {}", Shape::new(due))));
            }
            if index == 4 && fact.dtype != DType::I32 {
                return Err(Error::invalid_model(format!("the lengths are of {}, expected i32", fact.dtype)));
            }
        }
        if self.bytes {
            self.check_bytes(inputs, ways, gates * size)?;
        }
        let is_other = |index: &usize| *index != 4 && !(self.bytes && matches!(index, 1 | 2 | 9 | 11));
        if let Some(other) = (0..inputs.len())
            .filter(is_other)
            .filter_map(|index| inputs.fact(index))
            .find(|fact| fact.dtype != DType::F32)
        {
            return Err(Error::unsupported(format!("a recurrent layer of {other}; only f32 is")));
        }
        let mut all = vec![steps.clone(), Dim::from(ways), batch.clone(), Dim::from(size)];
        if self.batch_first {
            all = vec![batch.clone(), steps.clone(), Dim::from(ways), Dim::from(size)];
        }
        let mut facts = vec![Fact::new(DType::F32, Shape::new(all)), Fact::new(DType::F32, Shape::new(state.clone()))];
        if lstm {
            facts.push(Fact::new(DType::F32, Shape::new(state)));
        }
        Ok(facts)
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        // The range of numbers that become bytes is that of the whole batch.
        if self.bytes {
            return None;
        }
        let own = usize::from(!self.batch_first);
        // An operand without the items' axis that has a batch of its own would mix them.
        let apart = (0..axes.len()).all(|index| inputs.id(index).is_none() || axes[index] == self.batch_axis(index));
        let all = if self.batch_first { 0 } else { 2 };
        apart.then(|| vec![Some(all), Some(own), Some(own)]).map(|mut axes| {
            axes.truncate(if matches!(self.cell, Cell::Lstm { .. }) { 3 } else { 2 });
            axes
        })
    }
}
