//! Partial files of earlier sizes that stay in a folder are checked too.

use daypass_ledger::verify::{Kind, VerifyError, check_file};

use crate::published::Published;

const SIZE: u64 = 300;

/// A log of 300 records whose folder still holds the partial files of 7 and of 260 records.
fn grown() -> (Published, Vec<String>) {
    let mut log = Published::new(SIZE);
    let mut older = Vec::new();
    for size in [7, 260] {
        for (path, bytes) in Published::new(size).files {
            if path.contains(".p/") && !log.files.contains_key(&path) {
                older.push(path.clone());
                log.files.insert(path, bytes);
            }
        }
    }
    (log, older)
}

#[test]
fn every_file_of_a_folder_is_known() {
    let (log, older) = grown();
    assert_eq!(older.len(), 6);
    for path in log.files.keys() {
        let expected = if older.contains(path) { Kind::Older } else { Kind::Current };
        assert_eq!(check_file(&log.files, path, SIZE).unwrap(), expected, "{path}");
    }
    for ahead in
        ["tile/entries/001.p/45", "tile/entries/001", "tile/0/002.p/1", "tile/1/000", "tile/2/000.p/1"]
    {
        assert_eq!(check_file(&log.files, ahead, SIZE).unwrap(), Kind::Ahead, "{ahead}");
    }
    for foreign in ["wal/00000000000000000000.seg", "tile/0/000.p/0", "checkpoint.tmp", "../checkpoint"] {
        assert_eq!(check_file(&log.files, foreign, SIZE).unwrap(), Kind::Foreign, "{foreign}");
    }
}

#[test]
fn any_changed_byte_of_an_older_file_is_named() {
    let (log, older) = grown();
    for path in older {
        let changes: [fn(&mut Vec<u8>); 4] = [
            |bytes| bytes[0] ^= 1,
            |bytes| *bytes.last_mut().unwrap() ^= 1,
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes.push(0),
        ];
        for change in changes {
            let mut files = log.files.clone();
            change(files.get_mut(&path).unwrap());
            assert!(log.verify().is_ok());
            let error = check_file(&files, &path, SIZE).unwrap_err();
            assert!(matches!(&error, VerifyError::Older { file, .. } if *file == path), "{error}");
            assert_eq!(error.record(), Some(if path.contains("001") { 256 } else { 0 }));
        }
    }
}
