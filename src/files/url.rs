//! URLs of stores among the paths of a job.

use std::path::Path;

use crate::error::{Error, Result};

/// What a URL begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::files) enum Scheme {
    S3,
    Gs,
    Az,
    Http,
    Https,
}

impl Scheme {
    const ALL: [Self; 5] = [Self::S3, Self::Gs, Self::Az, Self::Http, Self::Https];

    /// The scheme of a path that is a URL, and what follows its `://`.
    pub(in crate::files) fn of(path: &Path) -> Option<(Self, &str)> {
        let (name, rest) = path.to_str()?.split_once("://")?;
        let scheme = Self::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))?;
        Some((scheme, rest))
    }

    pub(in crate::files) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The feature that reads it.
    fn feature(self) -> &'static str {
        match self {
            Self::Https => "http",
            scheme => scheme.name(),
        }
    }

    fn is_built(self) -> bool {
        match self {
            Self::S3 => cfg!(feature = "s3"),
            Self::Gs => cfg!(feature = "gs"),
            Self::Az => cfg!(feature = "az"),
            Self::Http | Self::Https => cfg!(feature = "http"),
        }
    }
}

/// A place in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::files) struct Url {
    pub(in crate::files) scheme: Scheme,
    /// The bucket or container, or the host with its port.
    pub(in crate::files) root: String,
    /// What follows, without the first slash; of `http` and `https` with its percent signs.
    pub(in crate::files) key: String,
}

impl Url {
    /// The URL that a path is; `None` if it is none.
    ///
    /// # Errors
    /// If its store is not built in, or it has what is not read: credentials, a query.
    pub(in crate::files) fn of(path: &Path) -> Result<Option<Self>> {
        let Some((scheme, rest)) = Scheme::of(path) else { return Ok(None) };
        let url = Self::parse(scheme, rest)?;
        match scheme.is_built() {
            true => Ok(Some(url)),
            false => Err(url.not_built()),
        }
    }

    fn parse(scheme: Scheme, rest: &str) -> Result<Self> {
        let name = scheme.name();
        // What may be secret is not repeated.
        let (root, key) = rest.split_once('/').unwrap_or((rest, ""));
        if root.contains('@') {
            return Err(Error::invalid_input(format!(
                "a {name}:// URL with a name or a password before `@`: credentials are read from the environment alone"
            )));
        }
        let is_http = matches!(scheme, Scheme::Http | Scheme::Https);
        if is_http && rest.contains(['?', '#']) {
            return Err(Error::unsupported(format!(
                "a URL of {root} with a query or a fragment, which is not read: it may hold credentials; download the file"
            )));
        }
        if is_http && key.to_ascii_lowercase().contains("%2f") {
            return Err(Error::unsupported(format!("a URL of {root} with an encoded slash; download the file")));
        }
        if root.is_empty() || root.contains(['?', '#', '%']) {
            let what = if is_http { "host" } else { "bucket" };
            return Err(Error::invalid_input(format!("{name}://{rest} names no {what}")));
        }
        Ok(Self { scheme, root: root.to_owned(), key: key.to_owned() })
    }

    /// Whether another URL is this one or below it.
    pub(in crate::files) fn holds(&self, other: &Self) -> bool {
        let below = other.key.strip_prefix(self.key.trim_end_matches('/'));
        let is_below = self.key.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.scheme == other.scheme && self.root == other.root && is_below
    }

    fn not_built(&self) -> Error {
        let (name, feature, Self { root, key, .. }) = (self.scheme.name(), self.scheme.feature(), self);
        Error::unsupported(format!("{name}://{root}/{key} is in a store; that needs the feature `{feature}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Url> {
        let (scheme, rest) = Scheme::of(Path::new(url)).unwrap();
        Url::parse(scheme, rest)
    }

    fn refusal(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn local_paths_are_no_urls() {
        for path in ["texts.jsonl", "/data/s3/x", "./s3://x", "ftp://host/x", "C:/x", ""] {
            assert_eq!(Url::of(Path::new(path)).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        for url in ["https://me:secret@host/x.jsonl", "s3://key:secret@bucket/x", "http://host/x?token=secret#secret"] {
            let refusal = refusal(url);
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn what_names_no_file_is_refused() {
        assert!(refusal("s3:///key").contains("names no bucket"));
        assert!(refusal("HTTP:///x").contains("names no host"));
        assert!(refusal("http://host/a%2Fb").contains("encoded slash"));
    }

    #[test]
    fn a_url_is_its_bucket_and_key() {
        let url = parse("s3://bucket/a/b?.jsonl").unwrap();
        assert_eq!((url.scheme, &*url.root, &*url.key), (Scheme::S3, "bucket", "a/b?.jsonl"));
        assert_eq!(&*parse("gs://bucket").unwrap().key, "");
    }

    #[test]
    fn a_folder_holds_what_is_below_it() {
        let holds = |a, b| parse(a).unwrap().holds(&parse(b).unwrap());
        for below in ["s3://b/out", "s3://b/out/", "s3://b/out/part-0"] {
            assert!(holds("s3://b/out", below) && holds("s3://b/out/", below) && holds("s3://b", below), "{below}");
        }
        for other in ["s3://b/out-2/x", "s3://b/ou", "s3://c/out/x", "gs://b/out/x"] {
            assert!(!holds("s3://b/out", other), "{other}");
        }
    }

    #[test]
    fn a_store_that_is_not_built_in_is_named() {
        let said = parse("https://host/x").unwrap().not_built().to_string();
        assert!(said.contains("https://host/x") && said.contains("the feature `http`"), "{said}");
        // Each scheme is a URL, whether it is built in or not.
        for url in ["s3://bucket/x", "gs://bucket/x", "az://container/x", "http://host/x", "https://host/x"] {
            let (scheme, _) = Scheme::of(Path::new(url)).unwrap();
            assert_eq!(Url::of(Path::new(url)).is_ok(), scheme.is_built(), "{url}");
        }
    }
}
