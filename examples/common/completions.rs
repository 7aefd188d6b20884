//! Completions for shells, made of the text of `--help`.

use super::Failure;

/// A flag as the text has it.
struct Flag<'t> {
    names: Vec<&'t str>,
    /// What it takes, such as `FILE` or `auto|cpu|gpu`.
    value: Option<&'t str>,
    about: &'t str,
}

/// The script for a shell that completes the flags of a command.
pub fn script(shell: &str, command: &str, help: &str) -> Result<String, Failure> {
    if command.contains(' ') {
        return Err(Failure::usage(format!(
            "--completions: there are none for the parts of a command, as {command} is"
        )));
    }
    let flags = flags(help);
    match shell {
        "bash" => Ok(bash(command, &flags)),
        "zsh" => Ok(zsh(command, &flags)),
        "fish" => Ok(fish(command, &flags)),
        other => Err(Failure::usage(format!("--completions is bash, zsh or fish, not {other}"))),
    }
}

/// The flags of a text, each of which begins a line.
fn flags(help: &str) -> Vec<Flag<'_>> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  --"));
    let flag = |line| {
        let (head, about) = str::split_once(line, "  ").unwrap_or((line, ""));
        let spellings: Vec<_> = head.split(", --").collect();
        let names = spellings.iter().map(|spelling| spelling.split(' ').next().unwrap_or_default()).collect();
        let value = spellings.first().and_then(|spelling| spelling.split_once(' ')).map(|(_, value)| value);
        Flag { names, value, about: about.trim_start() }
    };
    lines.map(flag).collect()
}

/// The words of a value that is one of several.
fn choices(value: &str) -> Option<Vec<&str>> {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let words: Vec<_> = value.split('|').collect();
    (words.len() > 1 && words.iter().all(|word| is_word(word))).then_some(words)
}

fn bash(command: &str, flags: &[Flag<'_>]) -> String {
    let names: Vec<_> = flags.iter().flat_map(|flag| &flag.names).map(|name| format!("--{name}")).collect();
    let mut cases = String::new();
    for flag in flags {
        if let Some(words) = flag.value.and_then(choices) {
            let names: Vec<_> = flag.names.iter().map(|name| format!("--{name}")).collect();
            cases += &format!(
                "        {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n",
                names.join("|"),
                words.join(" ")
            );
        }
    }
    let function = format!("_{}", command.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    format!(
        "{function}() {{\n    local word=\"${{COMP_WORDS[COMP_CWORD]}}\"\n    COMPREPLY=()\n    case \"${{COMP_WORDS[COMP_CWORD-1]}}\" \
         in\n{cases}        *) case \"$word\" in -*) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;; esac ;;\n    esac\n}}\n\
         complete -o default -F {function} {command}\n",
        names.join(" ")
    )
}

fn zsh(command: &str, flags: &[Flag<'_>]) -> String {
    let quote = |text: &str| text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let mut script = format!("#compdef {command}\n_arguments \\\n");
    for flag in flags {
        let value = match flag.value.map(|value| (value, choices(value))) {
            None => String::new(),
            Some((_, Some(words))) => format!(": :({})", words.join(" ")),
            Some((value, None)) => format!(":{}:_files", quote(value)),
        };
        for name in &flag.names {
            script += &format!("    '--{name}[{}]{value}' \\\n", quote(flag.about));
        }
    }
    script + "    '*:file:_files'\n"
}

fn fish(command: &str, flags: &[Flag<'_>]) -> String {
    let mut script = String::new();
    for flag in flags {
        let about = flag.about.replace('\\', "\\\\").replace('\'', "\\'");
        let value = match flag.value.map(choices) {
            None => String::new(),
            Some(None) => " -r".to_owned(),
            Some(Some(words)) => format!(" -x -a '{}'", words.join(" ")),
        };
        for name in &flag.names {
            script += &format!("complete -c {command} -l {name}{value} -d '{about}'\n");
        }
    }
    script
}
