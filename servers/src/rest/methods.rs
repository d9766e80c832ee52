//! Which methods a path takes: an answer that a method is not among them names them (RFC 9110, section 15.5.6).

use http::HeaderValue;
use serde_json::Value;

/// The methods of every path of the OpenAPI document.
pub(crate) struct Methods(Vec<(Vec<String>, HeaderValue)>);

impl Methods {
    /// Reads them from the document.
    pub(crate) fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let allowed = paths.filter_map(|(path, item)| {
            let mut methods: Vec<_> = item.as_object()?.keys().map(|method| method.to_ascii_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort_unstable();
            methods.dedup();
            Some((path.split('/').map(str::to_owned).collect(), HeaderValue::try_from(methods.join(", ")).ok()?))
        });
        Self(allowed.collect())
    }

    /// The methods of the path that a request names; `None` where there is no such path.
    pub(crate) fn allowed(&self, path: &str) -> Option<&HeaderValue> {
        let fits = |template: &[String]| {
            let same = |(part, given): (&String, &str)| part == given || (part.starts_with('{') && !given.is_empty());
            template.len() == path.split('/').count() && template.iter().zip(path.split('/')).all(same)
        };
        self.0.iter().find(|(template, _)| fits(template)).map(|(_, methods)| methods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_methods_of_its_template() {
        let methods = Methods::of(r#"{"paths":{"/a/{b}":{"put":{},"get":{}},"/a":{"post":{}}}}"#);
        assert_eq!(methods.allowed("/a/x%2Fy").unwrap(), "GET, HEAD, PUT");
        assert_eq!(methods.allowed("/a").unwrap(), "POST");
        for unknown in ["/", "/a/", "/a/b/c", "/b", "a"] {
            assert!(methods.allowed(unknown).is_none(), "{unknown}");
        }
    }
}
