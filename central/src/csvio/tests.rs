use super::sheet::write;
use super::*;

const COLUMNS: &[Column] = &[
    Column::needed("code", "its name"),
    Column::needed("name", "for people"),
    Column::optional("note", "anything"),
];

fn read(bytes: &[u8]) -> Result<Vec<[String; 3]>, SheetError> {
    let sheet = Sheet::read(bytes, COLUMNS)?;
    let cells = |f: Fields<'_>| ["code", "name", "note"].map(|c| f.text(c).to_owned());
    Ok(sheet.rows().map(cells).collect())
}

#[test]
fn the_files_that_spreadsheets_write_are_read() {
    let wanted = [[
        "A".to_owned(),
        "Ndola, Main".to_owned(),
        "two\nlines".to_owned(),
    ]];
    for file in [
        "code,name,note\nA,\"Ndola, Main\",\"two\nlines\"\n",
        "\u{feff}code,name,note\r\nA,\"Ndola, Main\",\"two\nlines\"\r\n",
        "code;name;note\nA;Ndola, Main;\"two\nlines\"",
        "\u{feff}Note;NAME; code \n\"two\nlines\";\" Ndola, Main\";A;;\n;;\n\n",
    ] {
        assert_eq!(read(file.as_bytes()).as_deref(), Ok(&wanted[..]), "{file}");
    }
}

#[test]
fn rows_are_counted_as_a_spreadsheet_counts_them() {
    let sheet = Sheet::read(b"code,name\n\"a\nb\",x\n,\nc,y\n", COLUMNS).unwrap();
    let rows: Vec<usize> = sheet.rows().map(|f| f.row()).collect();
    assert_eq!(rows, [2, 4]);
}

#[test]
fn a_file_that_is_none_says_why() {
    for (file, said) in [
        (&b""[..], "empty"),
        (b"code\nA\n", "\"name\" is missing"),
        (b"code,name,colour\n", "no column \"colour\""),
        (b"code,name,code\n", "twice"),
        (b"code,name\nA,\xff\n", "row 2 is not UTF-8"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let long = format!("code,name\nA,{}\n", "x".repeat(CELL_BYTES_MAX + 1));
    assert_eq!(read(long.as_bytes()), Err(SheetError::LongCell { row: 2 }));
    let many = format!("code,name\n{}", "A,B\n".repeat(ROWS_MAX + 1));
    assert_eq!(read(many.as_bytes()), Err(SheetError::TooManyRows));
    let large = vec![b'x'; BYTES_MAX + 1];
    assert!(matches!(read(&large), Err(SheetError::TooLarge(_))));
}

#[test]
fn what_is_written_reads_back() {
    let rows = [
        vec![
            "=1+1".to_owned(),
            "a \"b\"\nc, d; e".to_owned(),
            "-3".to_owned(),
        ],
        vec!["'@x".to_owned(), "Kasempa".to_owned()],
    ];
    let bytes = write(COLUMNS, &rows);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains("\r\n'=1+1,"), "{text}");
    let back = read(&bytes).unwrap();
    assert_eq!(back[0].as_slice(), rows[0].as_slice());
    assert_eq!(back[1].as_slice(), ["'@x", "Kasempa", ""]);
}

#[test]
fn a_cell_that_cannot_be_read_names_its_column_and_a_remedy() {
    let sheet = Sheet::read(b"code,name,note\n7,x,maybe\n", COLUMNS).unwrap();
    let row = sheet.rows().next().unwrap();
    assert_eq!(row.parsed::<u8>("code", "a number"), Ok(7));
    let fault = row.parsed::<u8>("name", "write a number").unwrap_err();
    assert_eq!(
        (fault.column.as_str(), fault.remedy.as_str()),
        ("name", "write a number")
    );
    assert!(row.yes_no("note", true).is_err());
    let mut tally = Tally::default();
    for n in 0..FAULTS_LISTED_MAX + 3 {
        tally.fault(n, fault.clone());
    }
    assert_eq!(tally.faults.len(), FAULTS_LISTED_MAX);
    assert_eq!(tally.faults_not_listed, 3);
}
