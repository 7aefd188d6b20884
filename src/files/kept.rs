//! The columns of the inputs that a job carries along.

#[cfg(feature = "parquet")]
use arrow_schema::{Schema, SchemaRef};

#[cfg(feature = "parquet")]
use crate::files::{format::Format, table};

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

/// Refuses names to keep that an input has not, and names to write that it has.
///
/// Lines of JSON may have any: there a row with such a field fails.
pub(in crate::files) fn check(inputs: &[Input], keep: &Keep, columns: &[Column], cut: Cut) -> Result<()> {
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
        if let Keep::Only(kept) = keep
            && let Some(name) = kept.iter().find(|name| !names.contains(name))
        {
            let names = names.join(", ");
            return Err(Error::invalid_input(format!("{path} has no column `{name}` to keep: there are {names}")));
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
    let mut schema: Option<SchemaRef> = None;
    for input in inputs {
        let own = std::sync::Arc::clone(source::table::TableReader::open(input)?.schema());
        if schema.as_ref().is_some_and(|schema| *schema != own) {
            let (path, first) = (input.path.display(), first.path.display());
            return Err(Error::invalid_input(format!("the columns of {path} are not those of {first}")));
        }
        schema = Some(own);
    }
    let fields: Vec<_> =
        schema.iter().flat_map(|schema| schema.fields()).filter(|field| keep.has(field.name())).collect();
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
        None => Ok(Schema::new(fields.into_iter().cloned().collect::<Vec<_>>()).into()),
    }
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
    for input in inputs {
        let own = source::names(input, cut)?;
        if own.is_some_and(|own| own.into_iter().filter(|name| keep.has(name)).ne(names.iter().cloned())) {
            let (path, first) = (input.path.display(), first.path.display());
            return Err(Error::invalid_input(format!("the columns of {path} are not those of {first}")));
        }
    }
    Ok(crate::files::sink::columns::texts(names.iter().map(String::as_str)))
}
