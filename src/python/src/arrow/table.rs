//! A model over the rows of a table: pieces of its columns in, columns out.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, cast::AsArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use gristmill::{
    Batching, Error, ItemError, Result, Session, Stage, Tensors,
    bulk::{Bulk, CancelToken, Plain, Report},
    from_fn,
};

use super::{
    columns::{Builder, Column, arrow_error, present},
    named::{Named, row_of},
};
use crate::job::bulk;

/// Rows of a piece: few enough that the rows at fault in a failed one are soon found, and many enough that its cost as an
/// item vanishes.
const PIECE: usize = 64;

/// A model over the rows of tables.
pub(crate) struct Table {
    session: Arc<Session>,
    bulk: Bulk<Plain<Arc<Session>>>,
    workers: Option<usize>,
    token: CancelToken,
    inputs: Vec<Named>,
    outputs: Vec<Named>,
    /// Whether rows of the first axis run together.
    joins: bool,
    /// Whether a failed row is null.
    nulls: bool,
    pub report: Option<Report>,
    /// Rows before the next batch.
    first: usize,
}

/// The failure of a row, or of all.
pub(crate) enum Failure {
    Row(ItemError),
    All(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::All(error)
    }
}

/// Consecutive rows that ran, and their results or their error.
type Ran = (Range<usize>, Result<Tensors>);

impl Table {
    pub(crate) fn new(
        session: &Arc<Session>,
        workers: Option<usize>,
        token: &CancelToken,
        window: Option<usize>,
        nulls: bool,
    ) -> Self {
        let mut bulk = bulk(session.clone(), workers, token);
        if let Some(items) = window {
            bulk = bulk.window(items);
        }
        Self {
            session: session.clone(),
            bulk,
            workers,
            token: token.clone(),
            inputs: session.inputs().map(Named::of).collect(),
            outputs: session.outputs().map(Named::of).collect(),
            joins: matches!(session.batching(), Batching::Rows { .. }),
            nulls,
            report: None,
            first: 0,
        }
    }

    /// The results of the rows of an array, which is a table's or the only column.
    pub(crate) fn run(&mut self, array: &ArrayRef) -> Result<RecordBatch, Failure> {
        let columns = self.select(array)?;
        let valid = columns.iter().fold(None, |all: Option<NullBuffer>, (_, column)| {
            NullBuffer::union(all.as_ref(), present(column).as_ref())
        });
        let valid = match array.data_type() {
            DataType::Struct(_) => NullBuffer::union(valid.as_ref(), array.nulls()),
            _ => valid,
        };
        let valid = valid.filter(|valid| valid.null_count() > 0);
        let batch = match &valid {
            None => self.run_present(&columns, array.len(), &|row| row)?,
            Some(valid) => {
                let places: Vec<usize> = valid.valid_indices().collect();
                if !self.nulls
                    && let Some(row) = (0..valid.len()).find(|&row| valid.is_null(row))
                {
                    let source = Error::invalid_input("the row has a null");
                    return Err(Failure::Row(ItemError { index: self.first + row, stage: Stage::Read, source }));
                }
                let mask = BooleanArray::new(valid.inner().clone(), None);
                let kept = columns.iter().map(|(named, column)| {
                    Ok((*named, arrow_select::filter::filter(column, &mask).map_err(arrow_error)?))
                });
                let kept: Vec<_> = kept.collect::<Result<_>>()?;
                let batch = self.run_present(&kept, places.len(), &|row| places[row])?;
                self.add_null_rows(valid.null_count());
                scattered(&batch, valid)?
            }
        };
        self.first += array.len();
        Ok(batch)
    }

    /// The columns that the model takes.
    fn select(&self, array: &ArrayRef) -> Result<Vec<(usize, ArrayRef)>> {
        let DataType::Struct(_) = array.data_type() else {
            return match self.inputs.len() {
                1 => Ok(vec![(0, array.clone())]),
                _ => Err(Error::invalid_input(format!(
                    "a single column was given; the model takes a table with the columns {:?}",
                    self.input_names()
                ))),
            };
        };
        let table = array.as_struct();
        let column = |(place, named): (usize, &Named)| {
            let column = table.column_by_name(&named.name).cloned().ok_or_else(|| {
                let (wanted, own) = (self.input_names(), table.column_names());
                Error::invalid_input(format!(
                    "the table has no column `{}`; the model takes {wanted:?}, the table has {own:?}",
                    named.name
                ))
            })?;
            Ok((place, column))
        };
        self.inputs.iter().enumerate().map(column).collect()
    }

    fn input_names(&self) -> Vec<&str> {
        self.inputs.iter().map(|named| &*named.name).collect()
    }

    /// The results of rows without nulls; `place` is a row's place in the batch as given.
    fn run_present(
        &mut self,
        columns: &[(usize, ArrayRef)],
        rows: usize,
        place: &dyn Fn(usize) -> usize,
    ) -> Result<RecordBatch, Failure> {
        let read = columns.iter().map(|(input, array)| {
            let named = &self.inputs[*input];
            let column = Column::of(&named.name, array)?;
            if column.dtype != named.dtype {
                return Err(Error::invalid_input(format!(
                    "column `{}` is of {}, the model's input of {}; cast it first",
                    named.name, column.dtype, named.dtype
                )));
            }
            Ok((named, column))
        });
        let columns: Vec<(&Named, Column)> = read.collect::<Result<_>>()?;
        let piece = if self.joins { PIECE } else { 1 };
        let pieces = (0..rows).step_by(piece).map(|start| start..(start + piece).min(rows)).collect();
        let (ran, mut report) = self.run_pieces(&columns, pieces)?;
        report.items = rows;
        report.errors = ran.iter().filter(|(_, result)| result.is_err()).map(|(rows, _)| rows.len()).sum();
        if !self.nulls
            && let Some((rows, Err(error))) = ran.iter().find(|(_, result)| result.is_err())
        {
            let index = self.first + place(rows.start);
            return Err(Failure::Row(ItemError { index, stage: Stage::Run, source: error.clone() }));
        }
        let batch = self.columns(&ran, rows)?;
        self.add(report);
        Ok(batch)
    }

    /// Runs pieces, and those that fail in halves, down to the rows at fault.
    fn run_pieces(&self, columns: &[(&Named, Column)], pieces: Vec<Range<usize>>) -> Result<(Vec<Ran>, Report)> {
        let items: Vec<Tensors> = pieces.iter().map(|rows| item(columns, rows)).collect::<Result<_>>()?;
        let (results, mut report) = self.bulk.run(&items);
        let results = results.into_iter().map(|result| result.map_err(|error| error.source));
        let (failed, mut ran): (Vec<Ran>, Vec<Ran>) =
            pieces.into_iter().zip(results).partition(|(rows, result)| result.is_err() && rows.len() > 1);
        if !failed.is_empty() {
            let failed: Vec<Range<usize>> = failed.into_iter().map(|(rows, _)| rows).collect();
            let search = from_fn(|rows: &Range<usize>| {
                let mut ran = Vec::new();
                self.run_halves(columns, rows, &mut ran)?;
                Ok(ran)
            });
            let (found, again) = bulk(search, self.workers, &self.token).run(&failed);
            for (rows, found) in failed.into_iter().zip(found) {
                ran.extend(found.unwrap_or_else(|error| vec![(rows, Err(error.source))]));
            }
            report.seconds += again.seconds;
            report.chunks += again.chunks;
            ran.sort_by_key(|(rows, _)| rows.start);
        }
        Ok((ran, report))
    }

    /// Runs rows, and if they fail their halves; whether they succeeded.
    fn run_rows(&self, columns: &[(&Named, Column)], rows: Range<usize>, ran: &mut Vec<Ran>) -> Result<bool> {
        let result = self.session.run(&item(columns, &rows)?);
        let succeeded = result.is_ok();
        if !succeeded && rows.len() > 1 {
            self.run_halves(columns, &rows, ran)?;
        } else {
            ran.push((rows, result));
        }
        Ok(succeeded)
    }

    /// Runs the halves of several rows that failed together.
    fn run_halves(&self, columns: &[(&Named, Column)], rows: &Range<usize>, ran: &mut Vec<Ran>) -> Result<()> {
        let middle = rows.start + rows.len() / 2;
        let (first, second) = (rows.start..middle, middle..rows.end);
        // If the first half succeeds, what failed is in the second.
        if self.run_rows(columns, first, ran)? && second.len() > 1 {
            self.run_halves(columns, &second, ran)
        } else {
            self.run_rows(columns, second, ran).map(|_| ())
        }
    }

    /// The columns of results.
    fn columns(&self, ran: &[Ran], rows: usize) -> Result<RecordBatch> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for named in &self.outputs {
            // Of a single row's result, the first axis is the row's only if it is of one element.
            let known = named.sizes.iter().copied().collect::<Option<Vec<_>>>();
            let known = known.filter(|_| self.joins || named.first == Some(1));
            let mut column = Builder::new(&named.name, named.dtype, known, rows);
            for (rows, result) in ran {
                let tensor = result.as_ref().ok().and_then(|tensors| tensors.get(&named.name));
                match tensor {
                    None if result.is_ok() => {
                        return Err(Error::invalid_input(format!("output `{}` is no tensor", named.name)));
                    }
                    None => column.push_null(rows.len()),
                    Some(tensor) => column.push(tensor, rows.len(), row_of(named, tensor, rows.len(), self.joins)?)?,
                }
            }
            let array = column.finish()?;
            fields.push(Field::new(&*named.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(arrow_error)
    }

    /// Adds what a batch did to the report.
    fn add(&mut self, report: Report) {
        let Some(all) = &mut self.report else {
            self.report = Some(report);
            return;
        };
        let (items, errors, seconds, chunks) = (all.items, all.errors, all.seconds, all.chunks);
        let first = all.first_result_seconds;
        *all = report;
        all.items += items;
        all.errors += errors;
        all.seconds += seconds;
        all.chunks += chunks;
        all.first_result_seconds = first;
        all.items_per_second = all.items as f64 / all.seconds;
    }

    fn add_null_rows(&mut self, rows: usize) {
        if let Some(report) = &mut self.report {
            report.items += rows;
            report.errors += rows;
        }
    }

    /// All rows of arrays as one item.
    pub(crate) fn item(&self, arrays: &[ArrayRef]) -> Result<(Tensors, usize)> {
        let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
        let array = arrow_select::concat::concat(&arrays).map_err(arrow_error)?;
        let mut tensors = Tensors::new();
        for (input, column) in self.select(&array)? {
            let named = &self.inputs[input];
            if let Some(nulls) = present(&column) {
                let row = (0..nulls.len()).find(|&row| nulls.is_null(row)).unwrap_or_default();
                return Err(Error::invalid_input(format!("column `{}` has a null in row {row}", named.name)));
            }
            let column = Column::of(&named.name, &column)?;
            let shape = named.shape(array.len(), &column.shape);
            tensors.insert(named.name.clone(), column.tensor(0..array.len(), shape)?);
        }
        Ok((tensors, array.len()))
    }

    /// The columns of one result of `rows` rows.
    pub(crate) fn result(&self, result: Tensors, rows: usize) -> Result<RecordBatch> {
        self.columns(&[(0..rows, Ok(result))], rows)
    }

    /// The columns of no rows.
    pub(crate) fn none(&self) -> Result<RecordBatch> {
        self.columns(&[], 0)
    }
}

/// Consecutive rows as one item.
fn item(columns: &[(&Named, Column)], rows: &Range<usize>) -> Result<Tensors> {
    columns.iter().try_fold(Tensors::new(), |tensors, (named, column)| {
        let shape = named.shape(rows.len(), &column.shape);
        Ok(tensors.with(named.name.clone(), column.tensor(rows.clone(), shape)?))
    })
}

/// The rows of a batch at the valid places, null at the others.
fn scattered(batch: &RecordBatch, valid: &NullBuffer) -> Result<RecordBatch> {
    let mut next = 0;
    let place = |valid: bool| {
        next += u64::from(valid);
        valid.then(|| next - 1)
    };
    let places: UInt64Array = valid.iter().map(place).collect();
    let columns = batch.columns().iter().map(|column| arrow_select::take::take(column, &places, None));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(arrow_error)?;
    let schema: SchemaRef = batch.schema();
    RecordBatch::try_new(schema, columns).map_err(arrow_error)
}
