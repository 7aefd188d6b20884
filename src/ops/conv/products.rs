//! The products of one block of a convolution, and where their results go.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        depthwise::{self, Depthwise},
        gemm::{Epilogue, Sums, gemm, gemm_max},
        transpose,
    },
    ops::conv::{
        Conv, Layout,
        filters::{Filters, Groups},
        geometry::{Block, Geometry},
        windows::{Numbers, Scales, Windows, with_numbers},
    },
};

/// What the products of one run read besides the windows.
pub(super) struct Products<'a> {
    pub(super) op: &'a Conv,
    pub(super) set: KernelSet,
    pub(super) geometry: &'a Geometry,
    pub(super) filters: &'a Filters,
    pub(super) groups: Groups<'a>,
    pub(super) bias: Option<&'a [f32]>,
}

impl Products<'_> {
    /// Computes a block and stores its results in `output`.
    pub(super) fn block(
        &self,
        windows: &Windows<'_>,
        item: usize,
        block: &Block,
        output: &mut [f32],
        results: &mut [f32],
        largest: &mut [f32],
    ) -> Result<()> {
        let filters = self.geometry.filters;
        if self.op.global_max {
            let output = &mut output[item * filters..][..filters];
            return self.max(windows, results, output, largest);
        }
        let [_, height, width] = self.geometry.out;
        let first = (block.depth * height + block.line) * width + block.column;
        let item = &mut output[item * self.geometry.out_positions() * filters..];
        match self.geometry.layout {
            Layout::ChannelsLast => {
                let end = (block.lines - 1) * width + block.columns;
                self.products(windows, &mut item[first * filters..][..end * filters], width * filters)
            }
            Layout::ChannelsFirst => {
                let results = &mut results[..block.positions() * filters];
                self.products(windows, results, windows.columns * filters)?;
                let positions = self.geometry.out_positions();
                // Whole lines are one.
                let (own, apart) = if block.columns == width { (block.positions(), 0) } else { (block.columns, width) };
                for (line, results) in results.chunks_exact((own * filters).max(1)).enumerate() {
                    transpose(self.set, results, filters, own, filters, &mut item[first + line * apart..], positions);
                }
                Ok(())
            }
        }
    }

    /// All results of a block, a row of filters for each position; those of two lines are `apart` numbers from each other.
    fn products(&self, windows: &Windows<'_>, to: &mut [f32], apart: usize) -> Result<()> {
        let (set, filters) = (self.set, self.geometry.filters);
        if let Filters::Depthwise(weights) = self.filters {
            let activation = self.op.activation;
            let Numbers::F32(data) = windows.data else {
                return Err(Error::internal("a filter of one channel over rounded numbers"));
            };
            for line in 0..windows.lines {
                let rows = windows.rows(data, line, 0);
                let to = &mut to[line * apart..][..windows.columns * filters];
                depthwise::run(set, &Depthwise { rows, weights, bias: self.bias, activation, channels: filters }, to)?;
            }
            return Ok(());
        }
        let n = self.geometry.group_filters();
        for group in 0..self.geometry.groups {
            for line in 0..windows.lines {
                let channel = group * self.geometry.group_channels();
                let to = &mut to[line * apart..][..windows.columns * filters];
                let to = to.get_mut(group * n..).unwrap_or_default();
                let (weights, epilogue) = (self.groups.get(group), self.epilogue(group, windows));
                with_numbers!(windows.data, data => {
                    gemm(set, &windows.rows(data, line, channel), weights, &epilogue, to, filters)
                })?;
            }
        }
        Ok(())
    }

    /// Updates the maximum of each filter with a block's results.
    fn max(&self, windows: &Windows<'_>, results: &mut [f32], to: &mut [f32], largest: &mut [f32]) -> Result<()> {
        let filters = self.geometry.filters;
        if let Filters::Depthwise(_) = self.filters {
            let results = &mut results[..windows.lines * windows.columns * filters];
            self.products(windows, results, windows.columns * filters)?;
            results.chunks_exact(filters.max(1)).for_each(|row| take_larger(to, row));
            return Ok(());
        }
        let n = self.geometry.group_filters();
        for line in 0..windows.lines {
            for group in 0..self.geometry.groups {
                let channel = group * self.geometry.group_channels();
                let largest = &mut largest[group * n..][..n];
                let (set, weights, epilogue) = (self.set, self.groups.get(group), self.epilogue(group, windows));
                with_numbers!(windows.data, data => {
                    gemm_max(set, &windows.rows(data, line, channel), weights, &epilogue, largest)
                })?;
            }
            take_larger(to, largest);
        }
        Ok(())
    }

    fn epilogue<'s>(&'s self, group: usize, windows: &Windows<'s>) -> Epilogue<'s> {
        let n = self.geometry.group_filters();
        let bias = self.bias.map(|bias| &bias[group * n..][..n]);
        let plain = Epilogue { bias, activation: self.op.activation, ..Epilogue::default() };
        match windows.scales {
            Scales::None => plain,
            Scales::Rows(row_scales) => Epilogue { row_scales, ..plain },
            Scales::Columns(scales, offsets) => {
                let (scales, columns) = (&scales[group * n..][..n], &offsets[group * n..][..n]);
                Epilogue { sums: Some(Sums { scales, columns, rows: &[] }), ..plain }
            }
        }
    }
}

/// Keeps the larger of each pair, NaN if either is.
fn take_larger(largest: &mut [f32], row: &[f32]) {
    for (largest, &value) in largest.iter_mut().zip(row) {
        if value > *largest || value.is_nan() {
            *largest = value;
        }
    }
}
