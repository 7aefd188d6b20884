//! The start of a job: its plan is made, or compared with the one that is there.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Folder, PLAN},
        folders,
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
    pub(in crate::files) folder: &'j dyn Folder,
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
        let lock = self.folder.lock()?;
        let prepared = self.plan().and_then(|plan| {
            let mut manifest = self.folder.manifest()?;
            manifest.check(lock.as_ref())?;
            Ok((plan, manifest))
        });
        // A refusal leaves a finished folder as it was.
        if prepared.is_err()
            && lock.is_some()
            && let (Ok(Some(plan)), Ok(mut manifest)) = (planned(self.folder), self.folder.manifest())
            && manifest.is_complete(&plan)
        {
            drop(lock);
            manifest.complete()?;
        }
        prepared
    }

    /// The plan: a new one, or the one that is there if the job is still the same.
    fn plan(&self) -> Result<Plan> {
        let (root, mut now) = (self.folder.path(""), None);
        loop {
            let text = self.folder.plan()?;
            let found = text.as_deref().map(|text| Plan::parse(text, &self.folder.path(PLAN))).transpose()?;
            if found.is_some() && self.start == Start::New {
                let root = root.display();
                let message = format!("{root} holds a job already; resume it, or name a new folder");
                return Err(Error::invalid_input(message));
            }
            if found.is_none() && self.start == Start::RetryErrors {
                return Err(Error::invalid_input(format!("{} holds no job to retry", root.display())));
            }
            let inputs = match &now {
                Some(inputs) => inputs,
                None => now.insert(self.now()?),
            };
            let plan = match &found {
                None => self.make(inputs.clone())?,
                Some(plan) => self.compare(plan.clone(), inputs)?,
            };
            if let Some(text) = text.as_deref().filter(|_| found.as_ref() == Some(&plan)) {
                return self.folder.check_writes(text).map(|()| plan);
            }
            let wanted = plan.text()?;
            // Where another process wrote one meanwhile, that one is compared.
            if self.folder.write_plan(&wanted, text.as_deref())? {
                return self.folder.check_writes(&wanted).map(|()| plan);
            }
        }
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
    fn compare(&self, mut plan: Plan, now: &[PlannedInput]) -> Result<Plan> {
        let settings = plan.settings_changed(&self.settings);
        let root = self.folder.path("");
        let root = root.display();
        let inputs = plan.inputs_changed(now);
        let goes_with = plan.goes_with(&self.settings);
        if !(settings.is_empty() || self.insists && goes_with) {
            let settings = settings.join("; ");
            let remedy = if goes_with { "name a new folder, or insist on going on" } else { "name a new folder" };
            let message = format!("{root} holds another job: {settings}; {remedy}");
            return Err(Error::invalid_input(message));
        }
        if !inputs.is_empty() {
            let inputs = inputs.join("; ");
            if self.start != Start::RetryErrors {
                let message = format!("{root} holds a job over other inputs: {inputs}; name a new folder");
                return Err(Error::invalid_input(message));
            }
            plan = self.repaired(plan, now.to_vec())?;
        }
        if !settings.is_empty() {
            let earlier = std::mem::replace(&mut plan.settings, self.settings.clone());
            plan.earlier.push(earlier);
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
        let is_alike = |(was, now): (&Shard, &Shard)| {
            (was.name.as_str(), was.input, was.first, was.rows) == (now.name.as_str(), now.input, now.first, now.rows)
        };
        if was.shards.len() != plan.shards.len() || !was.shards.iter().zip(&plan.shards).all(is_alike) {
            let (was, now, root) = (was.rows(), plan.rows(), self.folder.path(""));
            let message = format!(
                "the inputs of {} have other rows than before: {was} and {now}; name a new folder",
                root.display()
            );
            return Err(Error::invalid_input(message));
        }
        let manifest = self.folder.manifest()?;
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

/// The plan of a folder, if it has one.
pub(in crate::files) fn planned(folder: &dyn Folder) -> Result<Option<Plan>> {
    folder.plan()?.map(|text| Plan::parse(&text, &folder.path(PLAN))).transpose()
}

/// A folder that must have a plan, which is not written to.
pub(in crate::files) fn open(root: &Path) -> Result<(Arc<dyn Folder>, Plan, Manifest)> {
    let folder = folders::open(root, &CancelToken::new(), folders::LEASE)?;
    let plan = planned(&*folder)?;
    let plan = plan.ok_or_else(|| Error::invalid_input(format!("{} holds no job", root.display())))?;
    let manifest = folder.manifest()?;
    Ok((folder, plan, manifest))
}
