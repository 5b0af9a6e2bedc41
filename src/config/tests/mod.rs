//! Whole readings over real files: what a folder and an environment lead to.

mod checks;
mod node;
mod reading;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::config::{
    Balance, ConfigRequest, Defaults, EVALUATION_DEADLINE, Error, Evaluate, EvaluationError, Flavour, Links,
    Loaded, LoadedFleet, load,
};

/// A folder with files, and the request to read a configuration there. It always holds `worker.js`.
struct Story {
    root: TempDir,
    request: ConfigRequest,
}

impl Story {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let request = ConfigRequest {
            config: None,
            cwd: root.path().to_owned(),
            luster_conf: None,
            defaults: Defaults { workers: 4, balance: Balance::RoundRobin },
            evaluation_deadline: EVALUATION_DEADLINE,
            links: Links::Followed,
            find_program: |_| None,
        };
        Self { root, request }.file("worker.js", "")
    }

    fn file(self, path: &str, body: impl AsRef<[u8]>) -> Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
        self
    }

    fn config(mut self, config: &str) -> Self {
        self.request.config = Some(config.into());
        self
    }

    fn environment(mut self, luster_conf: &str) -> Self {
        self.request.luster_conf = Some(luster_conf.into());
        self
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn load(&self) -> Result<Loaded, Error> {
        self.fleet().map(|fleet| fleet.only().expect("it is one app's").clone())
    }

    fn fleet(&self) -> Result<LoadedFleet, Error> {
        load(&self.request, &mut NoNode)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> String {
        let error = self.load().unwrap_err();
        error.to_string().replace(&format!("{}/", self.path().display()), "")
    }
}

/// For stories that need none.
struct NoNode;

impl Evaluate for NoNode {
    fn evaluate(&mut self, _: &Path, _: Flavour, _: Duration) -> Result<Vec<u8>, EvaluationError> {
        Err(EvaluationError::NoNode)
    }

    fn find_app(&mut self, _: &Path) -> Option<PathBuf> {
        None
    }
}

/// The error of a `luster.conf.json`.
fn json_error(body: &str) -> String {
    Story::new().file("luster.conf.json", body).error()
}

/// A `luster.conf.json` that is right, with these members besides `app`.
fn json_loaded(members: &str) -> Loaded {
    Story::new().file("luster.conf.json", format!(r#"{{"app": "worker", {members}}}"#)).loaded()
}
