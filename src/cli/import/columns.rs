//! Finds the columns of the timestamp, the temperature and the sensor id in a CSV file.

use anyhow::{Result, bail};

/// The name of a column: its header in any case, or its number from 1.
pub(super) type ColumnName = str;

/// The columns that the user chose; `None` to guess from the header.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnChoice {
    pub(super) timestamp: Option<String>,
    pub(super) temperature: Option<String>,
    pub(super) sensor: Option<String>,
    /// The sensor of every reading, instead of a column.
    pub(super) sensor_id: Option<String>,
}

/// The columns of a file, by index from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) timestamp: usize,
    pub(super) temperature: usize,
    pub(super) sensor: SensorSource,
    /// The number of columns.
    pub(super) count: usize,
}

/// The source of a row's sensor id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SensorSource {
    Column(usize),
    Fixed(String),
}

/// A role of a column.
struct Role {
    what: &'static str,
    option: &'static str,
    /// The headers that are guessed for this role, best first, in lower case without spaces, `_`, `-` and `.`.
    guesses: &'static [&'static str],
}

const TIMESTAMP: Role = Role {
    what: "timestamp",
    option: "--timestamp-column",
    guesses: &[
        "timestamp",
        "time",
        "datetime",
        "date",
        "ts",
        "measuredat",
        "recordedat",
        "eventtime",
        "utc",
    ],
};
const TEMPERATURE: Role = Role {
    what: "temperature",
    option: "--temperature-column",
    guesses: &[
        "temperature",
        "temp",
        "value",
        "celsius",
        "degrees",
        "reading",
        "temperaturec",
        "tempc",
    ],
};
const SENSOR: Role = Role {
    what: "sensor",
    option: "--sensor-column",
    guesses: &[
        "sensorid",
        "sensor",
        "sensorname",
        "deviceid",
        "device",
        "devicename",
        "machineid",
        "machine",
        "id",
    ],
};

impl Columns {
    /// Finds the columns in a header row.
    ///
    /// # Errors
    /// Names the missing column, the existing columns, and the option to pass.
    pub(super) fn from_header(choice: &ColumnChoice, header: &[&str]) -> Result<Self> {
        let timestamp = find(&TIMESTAMP, choice.timestamp.as_deref(), header)?;
        let temperature = find(&TEMPERATURE, choice.temperature.as_deref(), header)?;
        let sensor = match &choice.sensor_id {
            Some(id) => SensorSource::Fixed(id.clone()),
            None => SensorSource::Column(find(&SENSOR, choice.sensor.as_deref(), header)?),
        };
        Self {
            timestamp,
            temperature,
            sensor,
            count: header.len(),
        }
        .distinct()
    }

    /// The columns of a file without a header, named by number.
    ///
    /// # Errors
    /// Names the option that is missing or is not the number of a column.
    pub(super) fn from_numbers(choice: &ColumnChoice, first_row: &[&str]) -> Result<Self> {
        let number = |role: &Role, name: Option<&ColumnName>| -> Result<usize> {
            let Some(name) = name else {
                bail!(
                    "without a header the {} column needs a number: pass {} N. The first row is: {}",
                    role.what,
                    role.option,
                    listed(first_row),
                );
            };
            match by_number(name, first_row.len()) {
                Some(at) => Ok(at),
                None => bail!(
                    "{} {name}: without a header pass a number from 1 to {}. The first row is: {}",
                    role.option,
                    first_row.len(),
                    listed(first_row),
                ),
            }
        };
        let timestamp = number(&TIMESTAMP, choice.timestamp.as_deref())?;
        let temperature = number(&TEMPERATURE, choice.temperature.as_deref())?;
        let sensor = match &choice.sensor_id {
            Some(id) => SensorSource::Fixed(id.clone()),
            None if choice.sensor.is_none() => bail!(
                "without a header pass --sensor-column N, or --sensor-id ID when every row is of \
                 one sensor. The first row is: {}",
                listed(first_row),
            ),
            None => SensorSource::Column(number(&SENSOR, choice.sensor.as_deref())?),
        };
        Self {
            timestamp,
            temperature,
            sensor,
            count: first_row.len(),
        }
        .distinct()
    }

    fn distinct(self) -> Result<Self> {
        if self.timestamp == self.temperature {
            bail!(
                "column {} cannot be both the timestamp and the temperature",
                self.timestamp + 1
            );
        }
        Ok(self)
    }
}

fn find(role: &Role, name: Option<&ColumnName>, header: &[&str]) -> Result<usize> {
    if let Some(name) = name {
        let same = |column: &&str| column.trim().to_lowercase() == name.trim().to_lowercase();
        // A header may be a number, such as a year. The name wins over the number of a column.
        return match header.iter().position(same) {
            Some(at) => Ok(at),
            None => match by_number(name, header.len()) {
                Some(at) => Ok(at),
                None => bail!(
                    "{} {name}: there is no such column. There are: {}",
                    role.option,
                    listed(header),
                ),
            },
        };
    }
    let plain: Vec<String> = header.iter().map(|column| plain(column)).collect();
    let guessed = role
        .guesses
        .iter()
        .find_map(|guess| plain.iter().position(|column| column == guess));
    match guessed {
        Some(at) => Ok(at),
        None => bail!(
            "no column looks like the {}. Pass {} NAME{}. There are: {}",
            role.what,
            role.option,
            if role.what == SENSOR.what {
                ", or --sensor-id ID when every row is of one sensor"
            } else {
                ", or --no-header and numbers when the first row is a reading"
            },
            listed(header),
        ),
    }
}

fn by_number(name: &ColumnName, columns: usize) -> Option<usize> {
    let number: usize = name.trim().parse().ok()?;
    (1..=columns).contains(&number).then(|| number - 1)
}

/// A header in the spelling of [`Role::guesses`].
fn plain(column: &str) -> String {
    column
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The columns for a message: numbered and quoted, with long lists and long names cut.
fn listed(columns: &[&str]) -> String {
    const SHOWN_MAX: usize = 30;
    const CHARACTERS_MAX: usize = 40;
    let mut out = String::new();
    for (at, column) in columns.iter().take(SHOWN_MAX).enumerate() {
        let mut name: String = column.chars().take(CHARACTERS_MAX).collect();
        if name.len() < column.len() {
            name.push('…');
        }
        let separator = if at == 0 { "" } else { ", " };
        out.push_str(&format!("{separator}{} {name:?}", at + 1));
    }
    if columns.len() > SHOWN_MAX {
        out.push_str(&format!(", and {} more", columns.len() - SHOWN_MAX));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(
        timestamp: Option<&str>,
        temperature: Option<&str>,
        sensor: Option<&str>,
        sensor_id: Option<&str>,
    ) -> ColumnChoice {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        ColumnChoice {
            timestamp: owned(timestamp),
            temperature: owned(temperature),
            sensor: owned(sensor),
            sensor_id: owned(sensor_id),
        }
    }

    fn columns(timestamp: usize, temperature: usize, sensor: usize, count: usize) -> Columns {
        Columns {
            timestamp,
            temperature,
            sensor: SensorSource::Column(sensor),
            count,
        }
    }

    #[test]
    fn a_header_is_understood_whatever_its_case_and_spelling() {
        for header in [
            ["sensorId", "timestamp", "temperature"],
            ["sensor_id", "Time", "TEMP"],
            ["Device ID", "Date Time", "Value"],
            ["machine", "recorded_at", "temperature_c"],
        ] {
            let found = Columns::from_header(&ColumnChoice::default(), &header).unwrap();
            assert_eq!(found, columns(1, 2, 0, 3), "{header:?}");
        }
    }

    #[test]
    fn the_better_of_two_guesses_is_taken_wherever_it_stands() {
        let header = [
            "id",
            "date",
            "value",
            "temperature",
            "timestamp",
            "sensorId",
        ];
        let found = Columns::from_header(&ColumnChoice::default(), &header).unwrap();
        assert_eq!(found, columns(4, 3, 5, 6));
    }

    #[test]
    fn a_column_is_chosen_by_name_or_number() {
        let header = ["a", "b", "3", "1"];
        let by_name = choice(Some("A"), Some(" b "), Some("3"), None);
        assert_eq!(
            Columns::from_header(&by_name, &header).unwrap(),
            columns(0, 1, 2, 4)
        );
        // `1` is the name of the fourth column before it is the number of the first.
        let by_number = choice(Some("2"), Some("1"), Some("4"), None);
        let found = Columns::from_header(&by_number, &header).unwrap();
        assert_eq!(found, columns(1, 3, 3, 4));
    }

    #[test]
    fn a_missing_sensor_says_what_there_is_and_what_to_pass() {
        let header = ["timestamp", "value"];
        let error = Columns::from_header(&ColumnChoice::default(), &header).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no column looks like the sensor. Pass --sensor-column NAME, or --sensor-id ID when every \
             row is of one sensor. There are: 1 \"timestamp\", 2 \"value\""
        );
        let fixed = choice(None, None, None, Some("machine-1"));
        let found = Columns::from_header(&fixed, &header).unwrap();
        assert_eq!(found.sensor, SensorSource::Fixed("machine-1".to_owned()));
        assert_eq!(found.count, 2);
    }

    #[test]
    fn an_unknown_name_says_what_there_is() {
        let error = Columns::from_header(&choice(Some("when"), None, None, None), &["a", "b"]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "--timestamp-column when: there is no such column. There are: 1 \"a\", 2 \"b\""
        );
        assert!(Columns::from_header(&choice(Some("3"), None, None, None), &["a", "b"]).is_err());
        assert!(Columns::from_header(&choice(Some("0"), None, None, None), &["a", "b"]).is_err());
    }

    #[test]
    fn one_column_cannot_be_two_things() {
        let both = choice(Some("a"), Some("1"), None, Some("s"));
        assert!(Columns::from_header(&both, &["a", "b"]).is_err());
    }

    #[test]
    fn without_a_header_only_numbers_name_columns() {
        let row = ["2026-11-20", "s", "20"];
        let good = choice(Some("1"), Some("3"), Some("2"), None);
        assert_eq!(
            Columns::from_numbers(&good, &row).unwrap(),
            columns(0, 2, 1, 3)
        );
        for bad in [
            choice(None, Some("3"), Some("2"), None),
            choice(Some("1"), Some("3"), None, None),
            choice(Some("1"), Some("temperature"), Some("2"), None),
            choice(Some("1"), Some("4"), Some("2"), None),
        ] {
            assert!(Columns::from_numbers(&bad, &row).is_err(), "{bad:?}");
        }
    }
}
