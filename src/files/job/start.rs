//! The start of a job: its settings are checked, its plan is made, and its passes begin.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    bulk::{Bulk, Staged, Stages},
    error::{Error, Result},
    files::{
        cell::{Cell, Column, check_columns},
        folder::Folder,
        folders,
        format::Format,
        inputs,
        job::FileJob,
        kept,
        part::Making,
        prepare::{Start, Wish},
        record::Row,
        run::Run,
        sink::{self, Keep, Shape},
        source::Cut,
        summary::Summary,
    },
    inference::Description,
};

impl FileJob {
    /// Runs the job: `read` makes an item of each row, and `write` the values of its columns of each result.
    ///
    /// Rows that fail, in whichever step, are dead letters; the job goes on. Returns when all of this process's shards
    /// are finished, also those that other processes have taken.
    ///
    /// # Errors
    /// If the job cannot start or go on: inputs that cannot be read or changed, a folder that cannot be written or
    /// holds another job, too many failed rows. Finished parts stay valid.
    pub fn run<S, I>(
        &self,
        bulk: &Bulk<S>,
        read: impl Fn(&Row<'_>) -> Result<I>,
        write: impl Fn(S::Output) -> Result<Vec<Cell>>,
    ) -> Result<Summary>
    where
        S: Stages<I> + Staged + 'static,
        I: Send + 'static,
    {
        check_columns(&self.columns)?;
        let (index, count) = self.dealt;
        if index >= count {
            return Err(Error::invalid_input(format!(
                "shard {index} of {count}: the first is 0, the last one less than {count}"
            )));
        }
        let folder = folders::open(&self.out, &self.cancel, self.lease)?;
        let mut run = match self.begin(&folder) {
            // What failed beside a read that the token ended fails again in the resumed job.
            Err(_) if self.cancel.is_cancelled() => {
                return Ok(Summary { stopped: true, parts: 1, ..Summary::default() });
            }
            begun => begun?,
        };
        run.run(bulk, self.longest, &read, &write)
    }

    /// Finds the inputs, and makes the plan or compares it with the one that is there.
    fn begin(&self, folder: &Arc<dyn Folder>) -> Result<Run<'_>> {
        let inputs = inputs::find(&self.inputs, self.read_format, &self.out, &self.cancel)?;
        let read_format = inputs.first().map_or(Format::Lines, |input| input.format);
        let format = self.format.unwrap_or(if read_format.is_table() { read_format } else { Format::Jsonl });
        sink::check(format, &self.columns)?;
        let cut = Cut { rows: self.rows, longest: self.longest };
        kept::check(&inputs, &self.keep, self.id.as_deref(), &self.columns, cut)?;
        let settings = self.settings(read_format, format)?;
        let shape = Shape {
            format,
            columns: self.columns.clone().into(),
            keep: Arc::new(self.keep.clone()),
            #[cfg(feature = "parquet")]
            carried: kept::schema(&inputs, &self.keep, format, cut)?,
            #[cfg(feature = "parquet")]
            settings: crate::files::json::line(&settings)?.into(),
        };
        let wish = Wish {
            folder: &**folder,
            inputs: &inputs,
            settings,
            format,
            cut,
            start: self.start,
            insists: self.insists,
            cancel: &self.cancel,
        };
        let (plan, manifest) = wish.prepare()?;
        let making = Making {
            folder: Arc::clone(folder),
            shape,
            leaves_out: self.leaves_out,
            id: self.id.clone(),
            cancel: self.cancel.clone(),
        };
        let retries = self.start == Start::RetryErrors;
        Ok(Run::new(self, making, plan, inputs, manifest, self.dealt, retries))
    }

    /// All that the output depends on beside the inputs.
    fn settings(&self, read_format: Format, format: Format) -> Result<BTreeMap<String, String>> {
        let Description { device, kernel_set, precision, model_fingerprint, options, .. } = &self.description;
        if [device, precision].iter().any(|name| name.starts_with("auto")) {
            let message = format!(
                "the device is {device} and the precision {precision}: a job over files needs both to be chosen before it starts"
            );
            return Err(Error::invalid_input(message));
        }
        let columns: Vec<_> = self.columns.iter().map(Column::describe).collect();
        let kept = match &self.keep {
            Keep::All => "all".to_owned(),
            Keep::Nothing => "none".to_owned(),
            Keep::Only(names) => names.join(", "),
        };
        let failed = if self.leaves_out { "left out" } else { "null" };
        let own = [
            ("gristmill", env!("CARGO_PKG_VERSION").to_owned()),
            ("model", model_fingerprint.as_str().to_owned()),
            ("model options", options.clone()),
            ("device", device.clone()),
            ("kernel set", kernel_set.clone()),
            ("precision", precision.clone()),
            ("format of inputs", read_format.to_string()),
            ("format of parts", format.to_string()),
            ("columns", columns.join(", ")),
            ("kept columns", kept),
            ("id", self.id.clone().unwrap_or_default()),
            ("failed rows", failed.to_owned()),
            ("rows per shard", self.rows.to_string()),
            ("longest row", self.longest.to_string()),
        ];
        let mut settings: BTreeMap<_, _> = own.map(|(name, value)| (name.to_owned(), value)).into();
        settings.extend(self.options.iter().map(|(name, value)| (format!("option {name}"), value.clone())));
        Ok(settings)
    }
}
