//! What the script's file survives, and that the script is one Node accepts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Places, Preload, SCRIPT};

fn placed_in(folder: &Path) -> Preload {
    Preload::place(Places::only(vec![folder.to_path_buf()])).unwrap()
}

fn path_of(preload: &mut Preload) -> PathBuf {
    preload.ensure().unwrap().to_path_buf()
}

fn allow(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_script_is_written_once_and_found_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let first = path_of(&mut placed_in(&folder));
    let written = fs::metadata(&first).unwrap().modified().unwrap();

    let second = path_of(&mut placed_in(&folder));

    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(&second).unwrap(), SCRIPT);
    assert_eq!(fs::metadata(&second).unwrap().modified().unwrap(), written);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_script_deleted_or_changed_is_put_back_before_the_next_spawn() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let mut preload = placed_in(&folder);
    let path = path_of(&mut preload);

    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(fs::read_to_string(preload.ensure().unwrap()).unwrap(), SCRIPT);

    fs::write(&path, "process.exit(13)").unwrap();
    assert_eq!(fs::read_to_string(preload.ensure().unwrap()).unwrap(), SCRIPT);
}

#[test]
fn a_wrong_file_of_the_right_name_is_replaced_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("luster");
    let path = path_of(&mut placed_in(&folder));
    let victim = root.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();

    placed_in(&folder);

    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_folder_that_others_control_is_passed_over_for_the_next() {
    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open");
    fs::create_dir(&open).unwrap();
    allow(&open, 0o777);
    let link = root.path().join("link");
    symlink(root.path(), &link).unwrap();
    let good = root.path().join("good");

    let mut preload = Preload::place(Places::only(vec![open, link, good.clone()])).unwrap();

    assert!(path_of(&mut preload).starts_with(good));
}

#[test]
fn when_no_folder_will_do_each_is_named_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open");
    fs::create_dir(&open).unwrap();
    allow(&open, 0o777);
    let absent = root.path().join("no/such");

    let error = Preload::place(Places::only(vec![open.clone(), absent.clone()])).unwrap_err().to_string();

    assert!(error.contains(&format!("{}: others may write to it", open.display())), "{error}");
    assert!(error.contains(&format!("{}: No such file", absent.display())), "{error}");
}

#[test]
fn node_accepts_the_script() {
    let root = tempfile::tempdir().unwrap();
    let path = path_of(&mut placed_in(&root.path().join("luster")));
    let checked = Command::new("node").arg("--check").arg(path).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_javascript_tests_use_the_same_script() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/test/bundle.js");
    let printed = Command::new("node").arg(bundle).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), SCRIPT);
}
