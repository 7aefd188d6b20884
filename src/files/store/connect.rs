//! Clients of stores, with what the environment says of them, and what their errors say.

use std::{env, io, sync::Arc};

use object_store::{ObjectStore, Result as Answer, multipart::MultipartStore};

use crate::{
    error::{Error, Result},
    files::url::Url,
};

/// The most of an error's text.
const MOST: usize = 600;

/// A client of a store, in the roles that it has.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Writes objects in pieces, if it can.
    pub(super) pieces: Option<Arc<dyn MultipartStore>>,
    /// The most bytes of an object that is written at once; longer ones are written in pieces of that many.
    pub(super) piece: u64,
}

impl Client {
    #[cfg(any(test, feature = "s3", feature = "gs", feature = "az"))]
    pub(super) fn new(store: impl ObjectStore + MultipartStore) -> Self {
        let store = Arc::new(store);
        Self { store: Arc::clone(&store) as Arc<dyn ObjectStore>, pieces: Some(store), piece: 8 << 20 }
    }
}

/// A client of the store of a URL.
pub(super) fn connect(url: &Url) -> Result<Client> {
    #[cfg(test)]
    if let Some(client) = super::tests::planted(url) {
        return Ok(client);
    }
    // Where the process has a provider already, that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    build(url).map_err(|error| {
        let (scheme, root) = (url.scheme.name(), &url.root);
        Error::invalid_input(format!("the store {scheme}://{root}: {}", told(&error)))
    })
}

fn build(url: &Url) -> Answer<Client> {
    let (scheme, root) = (url.scheme.name(), &url.root);
    #[cfg(feature = "s3")]
    if scheme == "s3" {
        return Ok(Client::new(object_store::aws::AmazonS3Builder::from_env().with_bucket_name(root).build()?));
    }
    #[cfg(feature = "gs")]
    if scheme == "gs" {
        return Ok(Client::new(
            object_store::gcp::GoogleCloudStorageBuilder::from_env().with_bucket_name(root).build()?,
        ));
    }
    #[cfg(feature = "az")]
    if scheme == "az" {
        return Ok(Client::new(
            object_store::azure::MicrosoftAzureBuilder::from_env().with_container_name(root).build()?,
        ));
    }
    #[cfg(feature = "http")]
    if scheme.starts_with("http") {
        let options = object_store::ClientOptions::new().with_allow_http(scheme == "http");
        let builder = object_store::http::HttpBuilder::new().with_client_options(options);
        let store = Arc::new(builder.with_url(format!("{scheme}://{root}")).build()?);
        return Ok(Client { store, pieces: None, piece: 0 });
    }
    // A URL of a store that is not built in is refused before.
    Err(object_store::Error::NotImplemented { operation: format!("reading {root}"), implementer: scheme.to_owned() })
}

/// The failure of a request.
pub(super) fn failure(error: &object_store::Error) -> io::Error {
    use object_store::Error as E;
    let kind = match error {
        E::NotFound { .. } => io::ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        E::NotSupported { .. } | E::NotImplemented { .. } => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, told(error))
}

/// What an error says, without the answer of the server but its code, and without values of the environment.
pub(super) fn told(error: &object_store::Error) -> String {
    let texts = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let secrets = texts.filter(|(name, value)| is_secret(name) && value.len() >= 4).map(|(_, value)| value);
    short(&error.to_string(), secrets)
}

fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 7] = ["KEY", "SECRET", "TOKEN", "SAS", "PASSWORD", "CREDENTIAL", "SERVICE_ACCOUNT"];
    let name = name.to_ascii_uppercase();
    ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start))
        && WORDS.iter().any(|word| name.contains(word))
}

fn short(text: &str, secrets: impl Iterator<Item = String>) -> String {
    // A server's answer may repeat the keys and the signature of the request.
    let mut text = match ["status code: ", "error response: "].iter().find_map(|mark| Some((mark, text.find(mark)?))) {
        Some((mark, place)) => {
            let (said, answer) = text.split_at(place + mark.len());
            let status = if mark.starts_with("status") { answer.split(':').next().unwrap_or_default() } else { "" };
            let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
            match code.filter(|(code, _)| code.len() < 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
                Some((code, _)) => format!("{said}{status} ({code})"),
                None => format!("{said}{status}"),
            }
        }
        None => text.to_owned(),
    };
    for secret in secrets {
        text = text.replace(&secret, "[...]");
    }
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_to_its_code() {
        let answer = "Error performing GET http://h/b/k in 2ms - Server returned non-2xx status code: 403 Forbidden: \
            <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        let said = short(answer, std::iter::empty());
        assert!(said.ends_with("status code: 403 Forbidden (SignatureDoesNotMatch)"), "{said}");
        let said = short("Server returned error response: <x>AKIA</x>", std::iter::empty());
        assert_eq!(said, "Server returned error response: ");
    }

    #[test]
    fn secrets_of_the_environment_are_not_repeated() {
        assert!(is_secret("AWS_SECRET_ACCESS_KEY") && is_secret("AZURE_STORAGE_SAS_TOKEN") && !is_secret("AWS_REGION"));
        assert!(is_secret("GOOGLE_SERVICE_ACCOUNT_KEY") && !is_secret("HOME_KEY"));
        assert_eq!(short("bad value `s3cret`", ["s3cret".to_owned()].into_iter()), "bad value `[...]`");
        assert!(short(&"x".repeat(10_000), std::iter::empty()).len() < 700);
    }
}
