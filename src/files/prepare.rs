//! The start of a job: its plan is made, or compared with the one that is there.

use std::{collections::BTreeMap, path::Path};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Folder, Lock},
        format::Format,
        inputs::Input,
        letters,
        manifest::Manifest,
        part::rows_changed,
        plan::{Plan, PlannedInput, Shard},
        source::{self, Cut, Reading},
    },
};

/// What a job does with a folder that holds a job already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Refuses it.
    #[default]
    New,
    /// Goes on with it, or starts one if there is none.
    Resume,
    /// Goes on with it, and runs its failed rows once more.
    ///
    /// Those rows alone may have been repaired in the inputs meanwhile.
    RetryErrors,
}

/// What the plan of a job is made from.
pub(in crate::files) struct Wish<'j> {
    pub(in crate::files) folder: &'j Folder,
    pub(in crate::files) inputs: &'j [Input],
    pub(in crate::files) settings: BTreeMap<String, String>,
    pub(in crate::files) format: Format,
    pub(in crate::files) cut: Cut,
    pub(in crate::files) start: Start,
    /// Whether other settings than before are accepted.
    pub(in crate::files) insists: bool,
    pub(in crate::files) cancel: &'j CancelToken,
}

impl Wish<'_> {
    /// The plan and what is finished of it.
    pub(in crate::files) fn prepare(&self) -> Result<(Plan, Manifest)> {
        self.folder.make()?;
        let lock = self.folder.lock(self.cancel)?;
        let prepared = self.prepare_locked(&lock);
        // A refusal leaves a finished folder as it was.
        if prepared.is_err()
            && let (Ok(Some(plan)), Ok(manifest)) = (Plan::read(self.folder), Manifest::read(self.folder))
            && manifest.is_complete(&plan)
        {
            drop(lock);
            self.folder.tidy();
        }
        prepared
    }

    fn prepare_locked(&self, lock: &Lock) -> Result<(Plan, Manifest)> {
        let root = self.folder.root().display();
        let plan = match (Plan::read(self.folder)?, self.start) {
            (Some(_), Start::New) => {
                return Err(Error::invalid_input(format!(
                    "{root} holds a job already; resume it, or name a new folder"
                )));
            }
            (None, Start::RetryErrors) => return Err(Error::invalid_input(format!("{root} holds no job to retry"))),
            (None, _) => {
                let plan = self.make(self.now()?)?;
                plan.write(self.folder)?;
                plan
            }
            (Some(plan), _) => self.compare(plan)?,
        };
        let manifest = self.check_parts(lock)?;
        Ok((plan, manifest))
    }

    /// Takes parts back that are no longer in the folder as they were written.
    fn check_parts(&self, lock: &Lock) -> Result<Manifest> {
        let mut manifest = Manifest::read(self.folder)?;
        for part in manifest.finished.values() {
            let found = std::fs::metadata(self.folder.part(&part.name)).map(|found| found.len());
            if found.ok() != Some(part.bytes) {
                Manifest::reopen(self.folder, lock, &part.name)?;
            }
        }
        manifest.refresh(self.folder)?;
        Ok(manifest)
    }

    /// The inputs as they are now.
    fn now(&self) -> Result<Vec<PlannedInput>> {
        self.inputs.iter().map(|input| input.planned(self.cancel)).collect()
    }

    fn make(&self, mut inputs: Vec<PlannedInput>) -> Result<Plan> {
        let mut shards = Vec::new();
        for (index, (input, planned)) in self.inputs.iter().zip(&mut inputs).enumerate() {
            let own: Vec<Shard> = source::cut(input, index, self.cut, self.cancel)?;
            // What was hashed is what was cut.
            input.check_unchanged()?;
            planned.rows = own.iter().map(|shard| shard.rows).sum();
            shards.extend(own);
            if shards.len() > crate::files::plan::MOST_SHARDS {
                return Err(source::too_many_shards(input));
            }
        }
        Ok(Plan::new(self.settings.clone(), inputs, shards, self.format))
    }

    /// The plan that is there, if the job is still the same.
    fn compare(&self, mut plan: Plan) -> Result<Plan> {
        let settings = plan.settings_changed(&self.settings);
        let (now, root) = (self.now()?, self.folder.root().display());
        let inputs = plan.inputs_changed(&now);
        if !settings.is_empty() && !self.insists {
            let settings = settings.join("; ");
            let message = format!("{root} holds another job: {settings}; name a new folder, or insist on going on");
            return Err(Error::invalid_input(message));
        }
        if !inputs.is_empty() {
            let inputs = inputs.join("; ");
            if self.start != Start::RetryErrors {
                let message = format!("{root} holds a job over other inputs: {inputs}; name a new folder");
                return Err(Error::invalid_input(message));
            }
            plan = self.repaired(plan, now)?;
            plan.write(self.folder)?;
        }
        if !settings.is_empty() {
            let earlier = std::mem::replace(&mut plan.settings, self.settings.clone());
            plan.earlier.push(earlier);
            plan.write(self.folder)?;
        }
        Ok(plan)
    }

    /// The plan of repaired inputs, in which no row changed that had not failed.
    fn repaired(&self, was: Plan, now: Vec<PlannedInput>) -> Result<Plan> {
        if let Some(input) = self.inputs.iter().find(|input| input.format.is_table()) {
            let path = input.path.display();
            let message =
                format!("{path} changed, and rows of {} are not repaired in place; name a new folder", input.format);
            return Err(Error::invalid_input(message));
        }
        let mut plan = self.make(now)?;
        let root = self.folder.root().display();
        let is_alike = |(was, now): (&Shard, &Shard)| {
            (was.name.as_str(), was.input, was.first, was.rows) == (now.name.as_str(), now.input, now.first, now.rows)
        };
        if was.shards.len() != plan.shards.len() || !was.shards.iter().zip(&plan.shards).all(is_alike) {
            let (was, now) = (was.rows(), plan.rows());
            let message =
                format!("the inputs of {root} have other rows than before: {was} and {now}; name a new folder");
            return Err(Error::invalid_input(message));
        }
        let manifest = Manifest::read(self.folder)?;
        for shard in &plan.shards {
            let changed = was.inputs[shard.input] != plan.inputs[shard.input];
            if let Some(part) = manifest.finished.get(&shard.name).filter(|_| changed) {
                let failed = match part.failed {
                    0 => BTreeMap::new(),
                    _ => letters::read(self.folder, &part.name)?,
                };
                let input = &self.inputs[shard.input];
                if self.hash_rows(input, shard, |row| !failed.contains_key(&row))? != part.source_blake3 {
                    return Err(rows_changed(&input.name, &part.name));
                }
            }
        }
        plan.earlier = was.earlier;
        plan.settings = was.settings;
        Ok(plan)
    }

    /// The hash of some rows of a shard; those that cannot be read have none.
    fn hash_rows(&self, input: &Input, shard: &Shard, is_hashed: impl Fn(u64) -> bool) -> Result<String> {
        let mut reader = source::open(input, self.cut.longest)?;
        reader.seek(shard)?;
        let mut hasher = blake3::Hasher::new();
        for row in shard.first..shard.first + shard.rows {
            if let Some(Reading::Row(record)) = reader.next()?
                && is_hashed(row)
            {
                record.hash(&mut hasher);
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// The plan of a folder that must have one.
pub(in crate::files) fn planned(root: &Path) -> Result<(Folder, Plan, Manifest)> {
    let folder = Folder::new(root)?;
    let plan = Plan::read(&folder)?;
    let plan = plan.ok_or_else(|| Error::invalid_input(format!("{} holds no job", root.display())))?;
    let manifest = Manifest::read(&folder)?;
    Ok((folder, plan, manifest))
}
