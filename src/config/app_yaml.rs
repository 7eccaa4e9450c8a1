//! Reads the variables that App Engine sets for the service: `env_variables` in `app.yaml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// Returns the variables of the file. The error says what is wrong with the file, and never quotes a value.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    parse(&text).map_err(|error| format!("{name}: {error}"))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let file: Value = serde_saphyr::from_str(text)
        .map_err(|error| format!("it is not YAML: {}", error.without_snippet()))?;
    let Some(Value::Object(variables)) = file.get("env_variables") else {
        return Err("it has no env_variables with a variable on each line under it".to_owned());
    };
    let read = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        Value::Null => Ok((name.clone(), String::new())),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("env_variables.{name}: expected a text; write a list or a table in quotes"))
        }
    };
    variables.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_yaml_has_them() {
        let text = "runtime: custom\nenv_variables:\n  A: plain # a comment\n  B: \"quo # ted\"\n  C: 'it''s'\n  D: 100152\n  E: true\n  \
                    F: '{\"a\": 1}'\n  G: https://example.com/#x\n  H: >-\n    two\n    lines\n";
        let variables = parse(text).unwrap();
        let expected = [
            ("A", "plain"),
            ("B", "quo # ted"),
            ("C", "it's"),
            ("D", "100152"),
            ("E", "true"),
            ("F", "{\"a\": 1}"),
            ("G", "https://example.com/#x"),
            ("H", "two lines"),
        ];
        let read: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_file_without_variables_is_refused_with_the_reason() {
        for (text, reason) in [
            ("runtime: custom\n", "it has no env_variables"),
            ("env_variables: [A]\n", "it has no env_variables"),
            ("env_variables:\n  A: [1]\n", "env_variables.A: expected a text"),
            ("env_variables: {A: b\n", "it is not YAML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
