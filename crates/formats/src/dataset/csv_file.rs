//! Tables in CSV files.

use super::config::DataConfig;
use super::table::{Column, Table, Values, find_targets, is_target_name, short, text_in_feature};
use super::{Provenance, read_file, stem_of};
use crate::FormatError;
use crate::error::at;
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::collections::BTreeMap;
use std::path::Path;
use thalweg_data::Dataset;

const FORMAT: &str = "CSV";

/// Rows that are looked at to find the delimiter and the header.
const LOOKED_AT: usize = 20;

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what }
}

/// Loads a CSV file, see [`read_csv`].
///
/// # Errors
/// As [`read_csv`], with the path.
pub fn load_csv(path: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let provenance = Provenance { source: super::source(path), ..Provenance::default() };
    read(&stem_of(path), &read_file(path)?, config, provenance).map_err(at(path))
}

/// A data set from the bytes of a CSV file.
///
/// Columns of numbers are features. The target is the column that is asked for, or the one called
/// `target`, `label`, `class` or `y`, or the last one; text in it names classes, in sorted order.
/// Whether the first line names the columns, and whether cells are parted by a comma, a semicolon
/// or a tab, is found out unless it is said. Messages count the lines of the file from 1, that of
/// the names included.
///
/// # Errors
/// Rows of different lengths, text or nothing where a number is expected, no such column, targets
/// that could be classes or quantities.
///
/// # Example
/// ```
/// use thalweg_formats::dataset::{DataConfig, read_csv};
/// let text = b"height;weight;kind\n1.5;20;cat\n3.5;70;dog\n";
/// let data = read_csv("pets", text, &DataConfig::default())?;
/// assert_eq!((data.example_shape(), data.class_names()), (&[2][..], &["cat", "dog"].map(String::from)[..]));
/// # Ok::<(), thalweg_formats::FormatError>(())
/// ```
pub fn read_csv(name: &str, bytes: &[u8], config: &DataConfig) -> Result<Dataset, FormatError> {
    read(name, bytes, config, Provenance::default())
}

fn read(
    name: &str,
    bytes: &[u8],
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refused("it is in UTF-16: expected UTF-8".into()));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let delimiter = match config.delimiter {
        Some(given) => u8::try_from(given).unwrap_or(b','),
        None => delimiter(bytes)?,
    };
    let looked_at = first_records(bytes, delimiter)?;
    let Some(first) = looked_at.first() else {
        return Err(refused("it has no rows".into()));
    };
    let header = config.header.unwrap_or_else(|| has_header(&looked_at, config));
    let names = names(first, header)?;
    let targets = find_targets(FORMAT, &names, config)?;
    let body = Body { bytes, delimiter, header, n_columns: first.len() };
    let kept: Vec<bool> = names.iter().map(|name| !config.leave_out.contains(name)).collect();
    let Parsed { lines, mut columns } = body.parse(&kept)?;
    let row = |row: usize| lines.of(row);
    let mut values = Vec::new();
    let mut missing = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        let Some(parser) = columns.get_mut(place).and_then(Option::take) else { continue };
        let column = match &parser.text {
            None => Values::Numbers { width: 1, values: parser.numbers, whole: parser.whole },
            Some((at, text)) if !targets.contains(&place) => {
                return Err(text_in_feature(FORMAT, &name, lines.of(*at), text));
            }
            Some((at, text)) => {
                parser.check_text(&name, lines.of(*at), text, config)?;
                body.texts(place, &name, lines.len())?
            }
        };
        missing.push(parser.missing);
        values.push(Column { name, values: column });
    }
    let shown = |place: usize, _: usize| match missing.get(place) {
        Some(Some(text)) if !text.is_empty() => format!("holds `{}`", short(text)),
        _ => "is empty".to_owned(),
    };
    let (row, n) = (&row, lines.len());
    let table = Table { format: FORMAT, columns: values, n, row, shown: &shown };
    // Columns that are left out are gone already.
    let config = DataConfig { leave_out: Vec::new(), ..config.clone() };
    table.into_dataset(name, &config, provenance)
}

fn reader(bytes: &[u8], delimiter: u8) -> Reader<&[u8]> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(bytes)
}

fn first_records(bytes: &[u8], delimiter: u8) -> Result<Vec<ByteRecord>, FormatError> {
    let records = reader(bytes, delimiter).into_byte_records().take(LOOKED_AT);
    records.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))
}

/// What parts the cells: the first of tab, semicolon and comma that gives the first rows equally
/// many cells, more than one.
fn delimiter(bytes: &[u8]) -> Result<u8, FormatError> {
    for candidate in [b'\t', b';', b','] {
        let records = first_records(bytes, candidate)?;
        let cells = records.first().map_or(0, ByteRecord::len);
        if cells > 1 && records.iter().all(|record| record.len() == cells) {
            return Ok(candidate);
        }
    }
    // Rows of different lengths are told by who reads them all.
    Ok(b',')
}

fn cell(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// Whether a cell stands for a value that is not known.
fn is_missing(cell: &[u8]) -> bool {
    const WORDS: [&[u8]; 7] = [b"", b"na", b"n/a", b"nan", b"null", b"none", b"?"];
    WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// Whether the first row names the columns: it holds the name of a target, or text over numbers, or
/// nothing but text.
fn has_header(records: &[ByteRecord], config: &DataConfig) -> bool {
    let Some((first, rest)) = records.split_first() else { return false };
    let text = |bytes: &[u8]| !is_missing(bytes) && number(bytes).is_none();
    let named = first.iter().any(|bytes| {
        std::str::from_utf8(cell(bytes)).is_ok_and(|name| {
            is_target_name(name) || config.target.iter().any(|target| target == name)
        })
    });
    let over_numbers = |place: usize| {
        let mut below = rest.iter().filter_map(|record| record.get(place)).map(cell);
        let mut known = below.by_ref().filter(|bytes| !is_missing(bytes)).peekable();
        known.peek().is_some() && known.all(|bytes| number(bytes).is_some())
    };
    let mut cells = first.iter().map(cell).enumerate();
    named
        || cells.any(|(place, bytes)| text(bytes) && over_numbers(place))
        || first.iter().map(cell).all(text)
}

/// The names of the columns: as the first row says, or their numbers counted from 1.
fn names(first: &ByteRecord, header: bool) -> Result<Vec<String>, FormatError> {
    if !header {
        return Ok((1..=first.len()).map(|number| number.to_string()).collect());
    }
    let mut names = Vec::with_capacity(first.len());
    let mut seen = std::collections::BTreeSet::new();
    for bytes in first {
        let name = std::str::from_utf8(cell(bytes)).map_err(|_| {
            refused(format!("the name of column {} is no UTF-8: expected UTF-8", names.len() + 1))
        })?;
        if !name.is_empty() && !seen.insert(name) {
            return Err(refused(format!("two columns are called `{}`", short(name))));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The lines on which rows begin: consecutive as a rule.
struct Lines {
    first: usize,
    /// From the first row that does not follow the one before on the next line.
    irregular: Vec<usize>,
    n: usize,
}

impl Lines {
    fn push(&mut self, line: usize) {
        if self.n == 0 {
            self.first = line;
        }
        if !self.irregular.is_empty() || line != self.first + self.n {
            self.irregular.push(line);
        }
        self.n += 1;
    }

    fn len(&self) -> usize {
        self.n
    }

    fn of(&self, row: usize) -> usize {
        match row.checked_sub(self.n - self.irregular.len()) {
            Some(at) => self.irregular.get(at).copied().unwrap_or(0),
            None => self.first + row,
        }
    }
}

struct Parsed {
    lines: Lines,
    columns: Vec<Option<Parser>>,
}

/// A column as far as it was read.
#[derive(Default)]
struct Parser {
    numbers: Vec<f64>,
    whole: bool,
    fractions: usize,
    /// The first cell that is text, with its row.
    text: Option<(usize, String)>,
    /// The first cell that is missing.
    missing: Option<String>,
}

impl Parser {
    fn push(&mut self, row: usize, bytes: &[u8]) {
        if is_missing(bytes) {
            let text = || String::from_utf8_lossy(bytes).into_owned();
            self.missing.get_or_insert_with(text);
            return self.numbers.push(f64::NAN);
        }
        match number(bytes) {
            Some(value) => {
                let whole = bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+'));
                self.whole &= whole;
                self.fractions += usize::from(!whole);
                self.numbers.push(value);
            }
            None => {
                let text = || (row, String::from_utf8_lossy(bytes).into_owned());
                self.text.get_or_insert_with(text);
                self.numbers.push(f64::NAN);
            }
        }
    }

    /// Refuses text among fractions, which no one has for names of classes.
    fn check_text(
        &self,
        name: &str,
        line: usize,
        text: &str,
        config: &DataConfig,
    ) -> Result<(), FormatError> {
        let meant = config.task == Some(super::config::Task::Classification);
        if !meant && 2 * self.fractions > self.numbers.len() {
            return Err(refused(format!(
                "column `{name}`: row {line} holds `{}`, expected a number as in other rows",
                short(text)
            )));
        }
        Ok(())
    }
}

/// The rows of data of a file.
struct Body<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    header: bool,
    n_columns: usize,
}

impl Body<'_> {
    /// Calls for each row with its line.
    fn each(
        &self,
        mut row: impl FnMut(usize, &ByteRecord) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut reader = reader(self.bytes, self.delimiter);
        let mut record = ByteRecord::new();
        let mut first = true;
        loop {
            let more = reader.read_byte_record(&mut record);
            if !more.map_err(|error| refused(error.to_string()))? {
                return Ok(());
            }
            if std::mem::take(&mut first) && self.header {
                continue;
            }
            let line = record.position().map_or(0, |place| {
                // A record begins where the one before ended: empty lines come first.
                let rest = self.bytes.get(place.byte() as usize..).unwrap_or_default();
                let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
                place.line() as usize + blank.filter(|&&byte| byte == b'\n').count()
            });
            if record.len() != self.n_columns {
                return Err(refused(format!(
                    "row {line} has {} cells and the first one has {}: expected equally many",
                    record.len(),
                    self.n_columns
                )));
            }
            row(line, &record)?;
        }
    }

    fn parse(&self, kept: &[bool]) -> Result<Parsed, FormatError> {
        let mut lines = Lines { first: 0, irregular: Vec::new(), n: 0 };
        let column = |&kept: &bool| kept.then(|| Parser { whole: true, ..Parser::default() });
        let mut columns: Vec<Option<Parser>> = kept.iter().map(column).collect();
        self.each(|line, record| {
            for (parser, bytes) in columns.iter_mut().zip(record) {
                if let Some(parser) = parser {
                    parser.push(lines.len(), cell(bytes));
                }
            }
            lines.push(line);
            Ok(())
        })?;
        Ok(Parsed { lines, columns })
    }

    /// A column of text.
    fn texts(&self, place: usize, name: &str, n: usize) -> Result<Values, FormatError> {
        let mut places: BTreeMap<String, u32> = BTreeMap::new();
        let mut codes = Vec::with_capacity(n);
        self.each(|line, record| {
            let bytes = cell(record.get(place).unwrap_or_default());
            let fault = |what: &str| refused(format!("column `{name}`: row {line} {what}"));
            if bytes.is_empty() {
                return Err(fault("is empty, expected the name of a class"));
            }
            let text =
                std::str::from_utf8(bytes).map_err(|_| fault("is no UTF-8, expected UTF-8"))?;
            let next = places.len() as u32;
            let code = match places.get(text) {
                Some(&code) => code,
                None => *places.entry(text.to_owned()).or_insert(next),
            };
            codes.push(code);
            Ok(())
        })?;
        let mut distinct = vec![String::new(); places.len()];
        for (text, code) in places {
            distinct[code as usize] = text;
        }
        Ok(Values::Texts { codes, distinct })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::config::Task;
    use thalweg_data::Targets;

    fn csv(text: &str, config: &DataConfig) -> Result<Dataset, String> {
        read_csv("table", text.as_bytes(), config).map_err(|error| error.to_string())
    }

    fn plain(text: &str) -> Result<Dataset, String> {
        csv(text, &DataConfig::default())
    }

    fn inputs(data: &Dataset) -> Vec<f32> {
        data.inputs().in_memory().unwrap().as_slice::<f32>().unwrap().to_vec()
    }

    fn values(data: &Dataset) -> (Vec<usize>, Vec<f64>) {
        match data.targets() {
            Targets::Values(values) => (values.shape().to_vec(), values.to_f64_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn target(columns: &[&str]) -> DataConfig {
        let target = columns.iter().map(|column| (*column).to_owned()).collect();
        DataConfig { target, ..DataConfig::default() }
    }

    #[test]
    fn delimiters_and_headers_are_found_out() {
        let want = vec![1.0, 2.5, -3.0, 4.0];
        for text in [
            "a,b,kind\n1,2.5,x\n-3,4e0,y\n",
            "a;b;kind\r\n1;2.5;x\r\n-3;4;y",
            "a\tb\tkind\n1\t2.5\tx\n-3\t4\ty\n",
            "1,2.5,x\n-3,4,y\n",
            "\u{feff}a,b,kind\n\n1, 2.5 ,x\n-3,4,\"y\"\n",
            "a,kind,\"b,c; d\"\n1,x,2.5\n-3,y,4\n",
        ] {
            let config = if text.contains("kind") { target(&["kind"]) } else { target(&[]) };
            let data = csv(text, &config).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(inputs(&data), want, "{text}");
            assert_eq!(data.class_names(), ["x", "y"].map(String::from), "{text}");
        }
        // Names that are numbers are names if one of them says so, or the command does.
        assert_eq!(plain("0,1,label\n5,6,0\n7,8,1\n").unwrap().len(), 2);
        let named = DataConfig { header: Some(true), ..DataConfig::default() };
        assert_eq!(csv("0,1,2\n5,6,0\n7,8,1\n", &named).unwrap().len(), 2);
        let commas = DataConfig { delimiter: Some(','), ..DataConfig::default() };
        assert!(csv("a;b\n1;0\n2;1\n", &commas).unwrap_err().contains("no column is left"));
    }

    #[test]
    fn the_target_is_named_or_telling_or_the_last() {
        let text = "a,y,b\n1,0,2.5\n3,1,4.5\n5,1,6.5\n";
        let telling = plain(text).unwrap();
        assert_eq!((telling.labels().unwrap(), telling.n_classes()), (&[0, 1, 1][..], Some(2)));
        let two = csv(text, &target(&["b", "a"])).unwrap();
        assert_eq!(values(&two), (vec![3, 2], vec![2.5, 1.0, 4.5, 3.0, 6.5, 5.0]));
        assert_eq!(inputs(&two), [0.0, 1.0, 1.0]);
        let left = DataConfig { leave_out: vec!["y".into()], ..DataConfig::default() };
        let last = csv(text, &left).unwrap();
        assert_eq!((values(&last).0, inputs(&last)), (vec![3, 1], vec![1.0, 3.0, 5.0]));
        assert_eq!(
            csv(text, &target(&["c"])).unwrap_err(),
            "CSV: no column `c` among `a`, `y`, `b`"
        );
        assert!(
            plain("y,label,b\n1,0,2\n3,1,4\n").unwrap_err().contains("could both be the target")
        );
        // Without a header columns are counted from 1.
        assert_eq!(
            inputs(&csv("7.5,0.5\n8.5,1.5\n", &target(&["1"])).unwrap_or_else(|e| panic!("{e}"))),
            [0.5, 1.5]
        );
    }

    #[test]
    fn whole_numbers_are_classes_or_quantities() {
        let gap = "a,b\n1,1\n2,2\n3,4\n";
        let message = plain(gap).unwrap_err();
        assert!(message.contains("column `b` run to 4 but no example has label 0"), "{message}");
        let classes = DataConfig { task: Some(Task::Classification), ..DataConfig::default() };
        let data = csv(gap, &classes).unwrap();
        assert_eq!(data.labels().unwrap(), [0, 1, 2]);
        assert_eq!(data.class_names(), ["1", "2", "4"].map(String::from));
        let quantities = DataConfig { task: Some(Task::Regression), ..DataConfig::default() };
        assert_eq!(values(&csv(gap, &quantities).unwrap()).1, [1.0, 2.0, 4.0]);
        assert_eq!(values(&plain("a,b\n1,0.0\n2,1.0\n").unwrap()).1, [0.0, 1.0]);
        let known = DataConfig { n_classes: Some(6), ..DataConfig::default() };
        let data = csv(gap, &known).unwrap();
        assert_eq!((data.labels().unwrap(), data.n_classes()), (&[1, 2, 4][..], Some(6)));
        assert!(data.notes()[0].contains("of 6 classes no example has label 0, 3, 5"));
    }

    #[test]
    fn an_index_without_a_name_is_no_feature() {
        let data = plain(",a,y\n0,5,0\n1,7,1\n2,6,1\n").unwrap();
        assert_eq!(inputs(&data), [5.0, 7.0, 6.0]);
        assert!(data.notes().iter().any(|note| note.contains("counts the rows")));
        assert_eq!(plain("i,y\n0,0\n1,1\n").unwrap().example_shape(), [1]);
    }

    #[test]
    fn faults_are_named_by_column_and_line() {
        let fault = |text: &str| plain(text).unwrap_err();
        assert_eq!(
            fault("a,b,y\n1,2,0\n\n,2,1\n3,,1\nNaN,4,0\n"),
            "CSV: column `a`: row 4 is empty, expected a finite number (also row 6)"
        );
        assert_eq!(
            fault("a,b,y\n1,2,0\n1,n/a,1\n"),
            "CSV: column `b`: row 3 holds `n/a`, expected a finite number"
        );
        assert_eq!(
            fault("a,b,y\n1,2,0\n1,1e60,1\n").split(", expected").next().unwrap().len(),
            "CSV: column `b`: row 3 holds ".len() + 61
        );
        assert_eq!(
            fault("a,colour,y\n1,red,0\n1,blue,1\n"),
            "CSV: column `colour` holds text (row 2: `red`), and features must be numbers: leave \
             it out by --leave-out, or write its categories as numbers"
        );
        assert!(fault("a;y\n\"1,5\";0\n2;1\n").contains("numbers with a decimal point"));
        assert_eq!(
            fault("a,b,y\n1,2,0\n1,2\n"),
            "CSV: row 3 has 2 cells and the first one has 3: expected equally many"
        );
        assert_eq!(
            fault("a,y\n1,0.5\n1,1.5\n2,x\n"),
            "CSV: column `y`: row 4 holds `x`, expected a number as in other rows"
        );
        assert_eq!(
            fault("a,y\n1,x\n1,\n2,y\n"),
            "CSV: column `y`: row 3 is empty, expected the name of a class"
        );
        assert_eq!(fault("a,y\n"), "CSV: it has no rows of data");
        assert_eq!(fault(""), "CSV: it has no rows");
        assert_eq!(fault("a,a,y\n1,2,0\n"), "CSV: two columns are called `a`");
        assert!(fault("y\n1\n2\n").contains("no column is left"));
        // A cell of two lines moves what comes after it.
        assert!(fault("a,kind\n1,\"two\nlines\"\n2,x\n,y\n").contains("row 5 is empty"));
        let latin = read_csv("t", b"a,y\n1,caf\xe9\n2,b\n", &DataConfig::default());
        assert!(latin.unwrap_err().to_string().contains("row 2 is no UTF-8"));
        for wide in [b"\xff\xfea\0,\0", b"\xfe\xff\0a\0,"] {
            let message = read_csv("t", wide, &DataConfig::default()).unwrap_err().to_string();
            assert_eq!(message, "CSV: it is in UTF-16: expected UTF-8");
        }
    }
}
