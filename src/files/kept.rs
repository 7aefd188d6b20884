//! The columns of the inputs that a job carries along.

#[cfg(feature = "parquet")]
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};

#[cfg(feature = "parquet")]
use crate::files::{format::Format, sink, table};

use crate::{
    error::{Error, Result},
    files::{
        cell::{Column, repeated},
        inputs::Input,
        sink::Keep,
        source::{self, Cut},
    },
};

impl Keep {
    pub(in crate::files) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Only(names) => names.iter().any(|other| other == name),
        }
    }
}

/// Refuses names to keep, and the one of the ids, that an input has not, and names to write that it has.
///
/// Lines of JSON may have any: there a row with such a field fails.
pub(in crate::files) fn check(
    inputs: &[Input],
    keep: &Keep,
    id: Option<&str>,
    columns: &[Column],
    cut: Cut,
) -> Result<()> {
    if let Keep::Only(kept) = keep {
        if let Some(name) = repeated(kept) {
            return Err(Error::invalid_input(format!("the column `{name}` to keep is named twice")));
        }
        if let Some(column) = columns.iter().find(|column| kept.contains(&column.name)) {
            let name = &column.name;
            return Err(Error::invalid_input(format!(
                "the column `{name}` cannot be kept: the job writes one of that name"
            )));
        }
    }
    for input in inputs {
        let Some(names) = source::names(input, cut)? else { continue };
        let path = input.path.display();
        let kept = if let Keep::Only(kept) = keep { kept.as_slice() } else { &[] };
        let wanted = kept.iter().map(|name| (name.as_str(), "to keep")).chain(id.map(|id| (id, "of ids")));
        if let Some((name, what)) = wanted.into_iter().find(|(name, _)| names.iter().all(|own| own != name)) {
            let names = names.join(", ");
            return Err(Error::invalid_input(format!("{path} has no column `{name}` {what}: there are {names}")));
        }
        if let Some(column) = columns.iter().find(|column| keep.has(&column.name) && names.contains(&column.name)) {
            let name = &column.name;
            let message = format!("{path} has a column `{name}`, which the job writes; name those to keep without it");
            return Err(Error::invalid_input(message));
        }
    }
    Ok(())
}

/// The types of the columns that parts carry, where their format needs them.
#[cfg(feature = "parquet")]
pub(in crate::files) fn schema(inputs: &[Input], keep: &Keep, format: Format, cut: Cut) -> Result<SchemaRef> {
    let Some(first) = inputs.first().filter(|_| *keep != Keep::Nothing && format != Format::Npy) else {
        return Ok(Schema::empty().into());
    };
    if !first.format.is_table() {
        if !format.is_table() {
            return Ok(Schema::empty().into());
        }
        return texts(inputs, first, keep, format, cut);
    }
    let mut fields: Vec<FieldRef> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let reader = source::table::TableReader::open(input)?;
        let own = reader.schema().fields().iter().filter(|field| keep.has(field.name())).cloned().collect::<Vec<_>>();
        match index {
            0 => fields = own,
            _ => join(&mut fields, &own).map_err(|what| unlike(input, first, &what))?,
        }
    }
    let strange = fields.iter().find(|field| match format {
        Format::Parquet => false,
        // What lies under nulls within other types has no fixed bytes.
        Format::Arrow => field.data_type().is_nested(),
        _ => !table::is_json(field.data_type()),
    });
    match strange {
        Some(field) => Err(Error::invalid_input(format!(
            "the column `{}` of type {} has no place in {format}; keep others, or write parquet",
            field.name(),
            field.data_type()
        ))),
        None => Ok(Schema::new(fields).into()),
    }
}

/// Makes the carried columns fit another input too, whose order and kinds of texts may differ; says what else differs.
#[cfg(feature = "parquet")]
fn join(carried: &mut [FieldRef], others: &[FieldRef]) -> Result<(), String> {
    if let Some(more) = others.iter().find(|other| carried.iter().all(|field| field.name() != other.name())) {
        return Err(format!("it has the column `{}` too", more.name()));
    }
    for field in carried {
        let name = field.name();
        let Some(other) = others.iter().find(|other| other.name() == name) else {
            return Err(format!("it has no column `{name}`"));
        };
        let (kind, others) = (field.data_type(), other.data_type());
        if kind != others && !(kind.is_string() && others.is_string()) {
            return Err(format!("its column `{name}` is of type {others}, there it is {kind}"));
        }
        if field != other {
            *field = Field::new(name, kind.clone(), field.is_nullable() || other.is_nullable()).into();
        }
    }
    Ok(())
}

#[cfg(feature = "parquet")]
fn unlike(input: &Input, first: &Input, what: &str) -> Error {
    let (path, first) = (input.path.display(), first.path.display());
    Error::invalid_input(format!("the columns of {path} are not those of {first}: {what}; keep columns that all have"))
}

/// Columns of texts, for a table that is made of an input of text.
#[cfg(feature = "parquet")]
fn texts(inputs: &[Input], first: &Input, keep: &Keep, format: Format, cut: Cut) -> Result<SchemaRef> {
    let names = match (source::names(first, cut)?, keep) {
        (Some(names), _) => names.into_iter().filter(|name| keep.has(name)).collect(),
        (None, Keep::Only(names)) => names.clone(),
        (None, _) => {
            let message = format!("{} has no fixed columns for {format}: name those to keep, or none", first.format);
            return Err(Error::invalid_input(message));
        }
    };
    let mut fields = sink::columns::texts(names.iter().map(String::as_str));
    for input in inputs {
        if let Some(own) = source::names(input, cut)? {
            let own = sink::columns::texts(own.iter().map(String::as_str).filter(|name| keep.has(name)));
            join(&mut fields, &own).map_err(|what| unlike(input, first, &what))?;
        }
    }
    Ok(Schema::new(fields).into())
}
