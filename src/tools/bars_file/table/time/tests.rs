use super::*;

fn reader(zone: &str) -> TimeReader {
    TimeReader {
        zone: zone.parse().unwrap(),
        day_zone: zone.parse().unwrap(),
        format: None,
        day_first: None,
    }
}

fn read(text: &str) -> Result<(String, Form), String> {
    let read = reader("UTC").read(text, None)?;
    Ok((read.at.to_string(), read.form))
}

#[test]
fn times_are_read_in_the_forms_that_files_have() {
    for (text, expected, form) in [
        ("1704153600", "2024-01-02T00:00:00Z", Form::Point),
        ("1704153600000000000", "2024-01-02T00:00:00Z", Form::Point),
        ("1.7041536E+12", "2024-01-02T00:00:00Z", Form::Point),
        (
            "2024-01-02T00:00:00-05:00",
            "2024-01-02T05:00:00Z",
            Form::Point,
        ),
        (
            "2024-01-02 09:30:00-05:00",
            "2024-01-02T14:30:00Z",
            Form::Point,
        ),
        (
            "2024-01-02 09:30:00 UTC",
            "2024-01-02T09:30:00Z",
            Form::Point,
        ),
        ("2024-01-02 09:30:00", "2024-01-02T09:30:00Z", Form::Naive),
        (
            "2024-01-02T09:30:00.123",
            "2024-01-02T09:30:00.123Z",
            Form::Naive,
        ),
        ("2024-01-02", "2024-01-02T00:00:00Z", Form::Day),
        ("2024/01/02", "2024-01-02T00:00:00Z", Form::Day),
        ("2024.01.02 09:30", "2024-01-02T09:30:00Z", Form::Naive),
        ("20240102", "2024-01-02T00:00:00Z", Form::Day),
        ("20240102 1530", "2024-01-02T15:30:00Z", Form::Naive),
        ("20240102 153000", "2024-01-02T15:30:00Z", Form::Naive),
        ("20240102  15:30:00", "2024-01-02T15:30:00Z", Form::Naive),
        ("202401021530", "2024-01-02T15:30:00Z", Form::Naive),
        ("20240102153000", "2024-01-02T15:30:00Z", Form::Naive),
        (
            "01.02.2024 00:00:00.000",
            "2024-02-01T00:00:00Z",
            Form::Naive,
        ),
        (
            "01.02.2024 00:00:00.000 GMT+0100",
            "2024-01-31T23:00:00Z",
            Form::Point,
        ),
        ("31/12/2023", "2023-12-31T00:00:00Z", Form::Day),
        ("12/31/2023 15:30", "2023-12-31T15:30:00Z", Form::Naive),
        ("02/02/2024", "2024-02-02T00:00:00Z", Form::Day),
        ("Jan 02, 2024", "2024-01-02T00:00:00Z", Form::Day),
        ("2-Jan-24", "2024-01-02T00:00:00Z", Form::Day),
        (
            "02 January 2024 3:30 PM",
            "2024-01-02T15:30:00Z",
            Form::Naive,
        ),
        (
            "Tue Jan 02 2024 15:30:00 GMT+0000",
            "2024-01-02T15:30:00Z",
            Form::Point,
        ),
        ("2020-07-01 05-PM", "2020-07-01T17:00:00Z", Form::Naive),
        ("2020-07-01 12-AM", "2020-07-01T00:00:00Z", Form::Naive),
    ] {
        assert_eq!(read(text), Ok((expected.to_owned(), form)), "{text}");
    }
}

#[test]
fn what_could_be_two_days_and_what_is_none_is_refused() {
    for (text, words) in [
        ("01/02/2024", "2024-02-01 or 2024-01-02"),
        ("45293", "--time-format excel"),
        ("45293.5", "--time-format excel"),
        ("2024-02-30", "no timestamp"),
        ("31/31/2024", "no timestamp"),
        ("soon", "no timestamp"),
        ("13:30", "no timestamp"),
        ("20240102 2530", "no timestamp"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn the_order_of_day_and_month_is_found_in_the_table() {
    let order = |cells: &[&str]| day_first(cells.iter().copied());
    assert_eq!(order(&["01/02/2024", "13/02/2024 09:30"]), Ok(Some(true)));
    assert_eq!(order(&["01-02-24", "02-13-24"]), Ok(Some(false)));
    assert_eq!(order(&["01/02/2024", "2024/13/01", "x"]), Ok(None));
    assert!(order(&["13/02/2024", "02/13/2024"]).is_err());
    let mut european = reader("UTC");
    european.day_first = Some(true);
    assert_eq!(
        european.read("01/02/2024", None).unwrap().at.to_string(),
        "2024-02-01T00:00:00Z"
    );
}

#[test]
fn a_date_and_a_time_of_day_make_a_time_in_the_zone() {
    let new_york = reader("America/New_York");
    for (date, clock, expected) in [
        ("2024.01.02", "09:30:00", "2024-01-02T14:30:00Z"),
        ("20240702", "093000", "2024-07-02T13:30:00Z"),
        ("20240702", "930", "2024-07-02T13:30:00Z"),
        ("20240702", "0", "2024-07-02T04:00:00Z"),
        ("02.07.2024", "9:30", "2024-07-02T13:30:00Z"),
    ] {
        let read = new_york.read(date, Some(clock)).unwrap();
        assert_eq!(read.at.to_string(), expected, "{date} {clock}");
        assert_eq!(read.form, Form::Naive);
    }
    assert!(new_york.read("20240702", Some("noon")).is_err());
    assert!(
        is_clock("00:00")
            && is_clock("153000")
            && !is_clock("1704153600")
            && !is_clock("2024-01-02")
    );
    let day = new_york.read("2024-03-11", None).unwrap();
    assert_eq!(day.at.to_string(), "2024-03-11T04:00:00Z");
}

#[test]
fn a_format_says_how_times_are_written() {
    let mut reader = reader("America/New_York");
    for (format, text, expected) in [
        ("%m/%d/%Y", "01/02/2024", "2024-01-02T05:00:00Z"),
        ("%d/%m/%Y %H:%M", "01/02/2024 09:30", "2024-02-01T14:30:00Z"),
        (
            "%Y-%m-%d %H:%M:%S %z",
            "2024-01-02 09:30:00 +0100",
            "2024-01-02T08:30:00Z",
        ),
        ("excel", "45293", "2024-01-02T05:00:00Z"),
        ("excel", "45293.395833333336", "2024-01-02T14:30:00Z"),
        ("s", "1704153600", "2024-01-02T00:00:00Z"),
        ("ms", "1704153600000", "2024-01-02T00:00:00Z"),
        ("ms", "20240102", "1970-01-01T05:37:20.102Z"),
    ] {
        reader.format = Some(format.parse().unwrap());
        let read = reader.read(text, None).unwrap();
        assert_eq!(read.at.to_string(), expected, "{format} {text}");
        assert!(reader.read("x", None).is_err(), "{format}");
    }
    for format in ["", "iso", "%", "%Q%!"] {
        assert!(format.parse::<TimeFormat>().is_err(), "{format}");
    }
}
