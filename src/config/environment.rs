//! The environment, as far as it is text.

use std::ffi::OsString;

/// The variables of a process.
///
/// What is not UTF-8 is kept by name only, so that a setting is never ignored in silence.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
    non_utf8: Vec<String>,
}

impl Environment {
    /// Returns the value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut variables = self.variables.iter();
        variables.find(|(variable, _)| variable == name).map(|(_, value)| value.as_str())
    }

    /// Returns names and values by name: an environment has no order.
    pub(super) fn sorted(&self) -> Vec<&(String, String)> {
        let mut variables: Vec<_> = self.variables.iter().collect();
        variables.sort();
        variables
    }

    /// Returns the names of variables whose name or value is not UTF-8, by name; what is not stands as U+FFFD.
    pub(super) fn non_utf8(&self) -> &[String] {
        &self.non_utf8
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            match (name.into().into_string(), value.into().into_string()) {
                (Ok(name), Ok(value)) => environment.variables.push((name, value)),
                (Ok(name), Err(_)) => environment.non_utf8.push(name),
                (Err(name), _) => environment.non_utf8.push(name.to_string_lossy().into_owned()),
            }
        }
        environment.non_utf8.sort();
        environment
    }
}

/// Shows nothing: others' secrets are among it.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
