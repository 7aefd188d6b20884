//! The weights of a folder: one file or the shards of an index, safetensors files before checkpoints of PyTorch.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::{
        hugging_face::{
            files::{optional, plain_name},
            problems::Problems,
        },
        options::{self, ImportOptions},
        origin::FileStamp,
        unique_map::UniqueMap,
        weight_file::WeightFile,
    },
    kernels::{KernelSet, transpose},
    tensor::{AlignedBytes, DType, Mapping, Tensor, byte_count},
};

/// The files that hold all weights, by worth, and the indexes that name several.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const INDEXES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
/// The maximum number of shards in an index.
const MAX_SHARDS: usize = 1000;
#[derive(Deserialize)]
struct Index {
    weight_map: UniqueMap<String>,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
}

/// A floating-point tensor of the expected shape in one of the files.
#[derive(Clone, Debug)]
pub(super) struct Found {
    file: usize,
    name: String,
    shape: Vec<usize>,
}

impl Found {
    /// The name in the file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same numbers as a matrix with as many rows as the first dimension.
    #[cfg(feature = "vision")]
    pub(super) fn as_matrix(&self) -> Self {
        let rows = self.shape.first().copied().unwrap_or(1);
        let columns = self.shape.iter().skip(1).product();
        Self { shape: vec![rows, columns], ..self.clone() }
    }
}

/// The weight files and the file of each tensor.
#[derive(Debug)]
pub(super) struct Weights {
    files: Vec<WeightFile>,
    places: BTreeMap<String, usize>,
    /// One mapping per file if tensors are used in place, else empty.
    mappings: Vec<Arc<Mapping>>,
}

impl Weights {
    pub(super) fn open(folder: &Path, options: &ImportOptions) -> Result<Self> {
        Self::open_files(folder, options.max_header_bytes)?.map(options)
    }

    /// Opens one file.
    pub(super) fn open_file(path: &Path, options: &ImportOptions) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), places: BTreeMap::new(), mappings: Vec::new() };
        weights.add(path, options.max_header_bytes)?;
        weights.map(options)
    }

    /// Maps the files, if the caller wants it.
    fn map(mut self, options: &ImportOptions) -> Result<Self> {
        if options.weights == options::Weights::Mapped {
            self.mappings = self.files.iter().map(WeightFile::map).collect::<Result<_>>()?;
        }
        Ok(self)
    }

    /// Adds a file with all its tensors.
    fn add(&mut self, path: &Path, max_header_bytes: u64) -> Result<()> {
        let (file, index) = (WeightFile::open(path, max_header_bytes)?, self.files.len());
        self.places.extend(file.tensors().keys().map(|name| (name.clone(), index)));
        self.files.push(file);
        Ok(())
    }

    /// Whether tensors are used in place.
    pub(super) fn are_mapped(&self) -> bool {
        !self.mappings.is_empty()
    }

    /// A remark for the report.
    pub(super) fn notes(&self) -> Option<String> {
        let told = |file: &WeightFile| Some(format!("weights of `{}` are copied: {}", file.name(), file.misfit()?));
        self.files.iter().filter(|_| self.are_mapped()).find_map(told)
    }

    fn open_files(folder: &Path, max_header_bytes: u64) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), places: BTreeMap::new(), mappings: Vec::new() };
        for (name, index) in FILES.into_iter().zip(INDEXES) {
            if folder.join(name).exists() {
                weights.add(&folder.join(name), max_header_bytes)?;
                return Ok(weights);
            }
            if let Some(shards) = optional::<Index>(folder, index)? {
                weights.open_shards(folder, shards.weight_map.0, max_header_bytes).context(|| format!("`{index}`"))?;
                return Ok(weights);
            }
        }
        let message = format!("there is neither `{}` nor an index of several files, nor `{}`", FILES[0], FILES[1]);
        Err(Error::io(std::io::ErrorKind::NotFound.into(), message))
    }

    fn open_shards(&mut self, folder: &Path, map: BTreeMap<String, String>, max_header_bytes: u64) -> Result<()> {
        let shards: BTreeSet<&str> = map.values().map(String::as_str).collect();
        if shards.len() > MAX_SHARDS {
            return Err(Error::limit(format!("names {} files; the limit is {MAX_SHARDS}", shards.len())));
        }
        let mut problems = Problems::default();
        for shard in &shards {
            let file = WeightFile::open(&folder.join(plain_name(shard, "weight_map")?), max_header_bytes)?;
            for name in file.tensors().keys().filter(|name| map.get(*name).map(String::as_str) != Some(*shard)) {
                problems.add(|| format!("`{name}` of `{shard}` is not in the index"));
            }
            self.files.push(file);
        }
        for (name, shard) in &map {
            // `files` has the order of `shards`.
            let file = shards.iter().position(|other| other == shard).unwrap_or_default();
            if !self.files[file].tensors().contains_key(name) {
                problems.add(|| format!("`{name}` is not in `{shard}`"));
            }
            self.places.insert(name.clone(), file);
        }
        problems.finish("the index and the files differ")
    }

    /// The names of all tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The dimensions of a tensor, if it exists.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        let file = &self.files[*self.places.get(name)?];
        file.tensors().get(name).map(|info| info.shape.as_slice())
    }

    /// The numbers of a vector of integers.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let file = self.places.get(name).ok_or_else(|| Error::internal(format!("there is no tensor `{name}`")))?;
        self.files[*file].read_integers(name)
    }

    /// As [`find`](Self::find), of numbers that may be whole and of one byte.
    pub(super) fn find_bytes(&self, names: &[String], shape: &[usize], problems: &mut Problems) -> Found {
        self.find_of(names, shape, &[DType::I8], problems)
    }

    /// The tensor with the first of `names` that exists; a problem if none does or it does not fit.
    pub(super) fn find(&self, names: &[String], shape: &[usize], problems: &mut Problems) -> Found {
        self.find_of(names, shape, &[], problems)
    }

    fn find_of(&self, names: &[String], shape: &[usize], also: &[DType], problems: &mut Problems) -> Found {
        let place = names.iter().find_map(|name| self.places.get_key_value(name));
        let missing = || (0, names.first().cloned().unwrap_or_default());
        let (file, name) = place.map_or_else(missing, |(name, &file)| (file, name.clone()));
        match self.files[file].tensors().get(&name) {
            None => problems.add(|| format!("the tensor `{name}` is missing")),
            Some(info) if info.shape != shape => {
                problems.add(|| format!("the tensor `{name}` is {info}, expected is {shape:?}"));
            }
            Some(info) if !also.contains(&info.dtype) && !info.dtype.is_float() => {
                problems.add(|| format!("the tensor `{name}` is of {}, expected is f64, f32, f16 or bf16", info.dtype));
            }
            Some(_) => {}
        }
        Found { file, name, shape: shape.to_vec() }
    }

    /// Returns a tensor unchanged, in place or as a copy.
    pub(super) fn plain(&self, found: &Found) -> Result<Tensor> {
        if let Some(mapping) = self.mappings.get(found.file)
            && let Some(tensor) = self.file(found).in_place(&found.name, mapping)?
        {
            return Ok(tensor);
        }
        self.read(found)
    }

    /// Returns a copy of a tensor, which may be changed.
    pub(super) fn read(&self, found: &Found) -> Result<Tensor> {
        let mut tensor = zeros(found.shape.clone())?;
        self.file(found).read_f32_into(&found.name, tensor.as_mut_slice()?)?;
        Ok(tensor)
    }

    /// Reads rows of matrices `[N, K]`, transposed and side by side, as one matrix `[K, N + N + ...]`.
    pub(super) fn transposed(&self, parts: &[(&Found, Range<usize>)]) -> Result<Tensor> {
        let columns: usize = parts.iter().map(|(_, rows)| rows.len()).sum();
        let depth = parts.first().map_or(0, |(part, _)| part.shape[1]);
        let mut tensor = zeros(vec![depth, columns])?;
        let values = tensor.as_mut_slice::<f32>()?;
        let set = KernelSet::detect();
        let mut start = 0;
        for (part, rows) in parts {
            self.file(part).read_f32_rows(&part.name, depth, |position, piece| {
                let first = position / depth;
                let wanted = first.max(rows.start)..(first + piece.len() / depth).min(rows.end);
                if !wanted.is_empty() {
                    let piece = &piece[(wanted.start - first) * depth..(wanted.end - first) * depth];
                    let at = start + wanted.start - rows.start;
                    transpose(set, piece, depth, wanted.len(), depth, &mut values[at..], columns);
                }
            })?;
            start += rows.len();
        }
        Ok(tensor)
    }

    fn file(&self, found: &Found) -> &WeightFile {
        &self.files[found.file]
    }

    /// The stamps of the files when they were opened.
    pub(super) fn into_files(self) -> Vec<FileStamp> {
        self.files.into_iter().map(WeightFile::into_stamp).collect()
    }
}

/// Allocates an f32 tensor of zeros; an error if memory is lacking.
fn zeros(shape: Vec<usize>) -> Result<Tensor> {
    let bytes = byte_count(DType::F32, &shape)
        .ok_or_else(|| Error::limit(format!("weights {shape:?} are larger than the address space")))?;
    Tensor::from_aligned(DType::F32, shape, AlignedBytes::try_zeroed(bytes)?)
}
