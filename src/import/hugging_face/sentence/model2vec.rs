//! The settings of a model2vec folder.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    error::{Context, Result},
    import::hugging_face::{
        Pooling,
        config::Reader,
        files::settings,
        sentence::{Sentence, modules::Module},
        static_rules::{MAX_TOKENS, StaticRules},
    },
};

/// What model2vec cuts texts to by default.
const DEFAULT_TOKENS: usize = 512;

/// The settings of a model2vec folder, if `folder` is one.
pub(super) fn read(folder: &Path) -> Result<Option<Sentence>> {
    let Some(fields) = settings(folder, "config.json")? else { return Ok(None) };
    if fields.get("model_type").and_then(Value::as_str) != Some("model2vec") {
        return Ok(None);
    }
    parse(fields)
        .context(|| "`config.json`".into())
        .map(|sentence| Some(Sentence { transformer: folder.to_owned(), ..sentence }))
}

fn parse(fields: BTreeMap<String, Value>) -> Result<Sentence> {
    // An explicit null stands for no limit.
    let limited = fields.get("max_length") != Some(&Value::Null);
    let reader = Reader::new(fields);
    let max_tokens = reader.size("max_length", 1..=MAX_TOKENS, Some(if limited { DEFAULT_TOKENS } else { MAX_TOKENS }));
    let mut modules = vec![Module::Pooling(vec![Pooling::Mean])];
    if reader.flag("normalize", false) {
        modules.push(Module::Normalize);
    }
    reader.checked("the settings are not model2vec's")?;
    let static_rules = Some(StaticRules { model2vec: true, limited });
    Ok(Sentence { modules, max_tokens: Some(max_tokens), static_rules, ..Sentence::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_of_model2vec_have_its_defaults() {
        let of = |fields: Value| parse(serde_json::from_value(fields).unwrap());
        let plain = of(json!({"model_type": "model2vec"})).unwrap();
        assert_eq!((plain.max_tokens, plain.modules.len()), (Some(512), 1));
        assert_eq!(plain.static_rules, Some(StaticRules { model2vec: true, limited: true }));
        let free = of(json!({"normalize": true, "max_length": null})).unwrap();
        assert_eq!((free.static_rules.unwrap().limited, free.modules.len()), (false, 2));
        assert!(of(json!({"normalize": "yes"})).is_err());
    }
}
