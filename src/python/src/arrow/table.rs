//! A model over the rows of a table: pieces of its columns in, columns out.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array, cast::AsArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use gristmill::{
    Batching, DType, Error, ItemError, Result, Session, Stage, Tensor, Tensors,
    bulk::{Bulk, Plain, Report},
};

use super::columns::{Builder, Column, arrow_error, present};

/// Rows of a piece: few enough that the rows at fault in a failed one are soon found, and many enough that its cost as an
/// item vanishes.
const PIECE: usize = 64;

/// What is known of a model's input or output.
struct Named {
    name: Arc<str>,
    dtype: DType,
    /// Its first size and those behind it, `None` for one that varies.
    first: Option<usize>,
    sizes: Vec<Option<usize>>,
    rank: usize,
}

/// A model over the rows of tables.
pub(crate) struct Table {
    bulk: Bulk<Plain<Arc<Session>>>,
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

/// The halves of rows that failed together, of which the first runs next; a single row as it is.
fn halves(rows: Range<usize>) -> (Range<usize>, Option<Range<usize>>) {
    let middle = rows.start + rows.len().div_ceil(2);
    (rows.start..middle, Some(middle..rows.end).filter(|rows| !rows.is_empty()))
}

/// Consecutive rows that ran, and their results or their error.
type Ran = (Range<usize>, Result<Tensors>);

impl Table {
    pub(crate) fn new(session: &Session, bulk: Bulk<Plain<Arc<Session>>>, nulls: bool) -> Self {
        let named = |(name, fact): (&str, &gristmill::Fact)| {
            let dims = fact.shape.dims();
            let mut sizes = dims.iter().map(|dim| dim.as_fixed().and_then(|size| usize::try_from(size).ok()));
            let first = sizes.next().flatten();
            Named { name: name.into(), dtype: fact.dtype, first, sizes: sizes.collect(), rank: dims.len() }
        };
        Self {
            bulk,
            inputs: session.inputs().map(named).collect(),
            outputs: session.outputs().map(named).collect(),
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
        let (mut ran, mut report) = self.run_halving(&columns, pieces)?;
        ran.sort_by_key(|(rows, _)| rows.start);
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

    /// Runs pieces, and those that fail in halves, down to the rows at fault; in no order.
    fn run_halving(&self, columns: &[(&Named, Column)], pieces: Vec<Range<usize>>) -> Result<(Vec<Ran>, Report)> {
        let mut ran = Vec::with_capacity(pieces.len());
        let mut report: Option<Report> = None;
        // Pieces of a round, each with the other half of the one that failed.
        let mut round: Vec<(Range<usize>, Option<Range<usize>>)> =
            pieces.into_iter().map(|rows| (rows, None)).collect();
        loop {
            let (pieces, others): (Vec<_>, Vec<_>) = round.drain(..).unzip();
            let (results, own) = self.run_pieces(columns, pieces)?;
            let report = match &mut report {
                Some(report) => {
                    report.seconds += own.seconds;
                    report.chunks += own.chunks;
                    report
                }
                None => report.insert(own),
            };
            for ((rows, result), other) in results.into_iter().zip(others) {
                if result.is_ok() {
                    // What failed is in the other half.
                    round.extend(other.map(halves));
                } else {
                    round.extend(other.map(|rows| (rows, None)));
                    if rows.len() > 1 {
                        round.push(halves(rows));
                        continue;
                    }
                }
                ran.push((rows, result));
            }
            if round.is_empty() {
                return Ok((ran, report.clone()));
            }
        }
    }

    /// Runs consecutive rows together.
    fn run_pieces(&self, columns: &[(&Named, Column)], pieces: Vec<Range<usize>>) -> Result<(Vec<Ran>, Report)> {
        let item = |rows: &Range<usize>| -> Result<Tensors> {
            columns.iter().try_fold(Tensors::new(), |tensors, (named, column)| {
                let shape = named.shape(rows.len(), &column.shape);
                Ok(tensors.with(named.name.clone(), column.tensor(rows.clone(), shape)?))
            })
        };
        let items: Vec<Tensors> = pieces.iter().map(item).collect::<Result<_>>()?;
        let (results, report) = self.bulk.run(&items);
        let results = results.into_iter().map(|result| result.map_err(|error| error.source));
        Ok((pieces.into_iter().zip(results).collect(), report))
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

impl Named {
    /// The shape of `rows` rows for the model, of which a row of the column has the shape `row`.
    ///
    /// Where the model wants other axes, a row is reshaped to its sizes if they are fixed and of as many elements, and
    /// gets axes of one element otherwise.
    fn shape(&self, rows: usize, row: &[usize]) -> Vec<usize> {
        if self.rank == row.len() && rows == 1 && self.rank > 0 {
            return row.to_vec();
        }
        let known: Option<Vec<usize>> = self.sizes.iter().copied().collect();
        let row = match known {
            Some(known) if known.iter().product::<usize>() == row.iter().product::<usize>() => known,
            None if row.is_empty() => vec![1; self.sizes.len()],
            _ => row.to_vec(),
        };
        [&[rows], &row[..]].concat()
    }
}

/// The shape of a row of an output.
fn row_of<'t>(named: &Named, tensor: &'t Tensor, rows: usize, joins: bool) -> Result<&'t [usize]> {
    match tensor.shape() {
        [first, row @ ..] if *first == rows => Ok(row),
        shape if !joins => Ok(shape),
        shape => Err(Error::invalid_input(format!(
            "output `{}` has the shape {shape:?} for {rows} rows, so that no row of it is known",
            named.name
        ))),
    }
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
