"""Writes the tables beside this file from the whole ones.

Usage: generate.py CALIFORNIA_HOUSING.csv WINE_QUALITY.csv BIKE_SHARING_HOUR.csv
The first has the columns of StatLib's table with `ocean_proximity`; the second a column `colour`;
the third is UCI's hour.csv. Rows are drawn without replacement by Python's own generator, seed 0,
and stay in order. The target is the last column. Only the standard library (Python 3.11).
"""

import csv
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent


def drawn(rows, n):
    return [rows[i] for i in sorted(random.Random(0).sample(range(len(rows)), n))]


def write(name, columns, rows):
    with open(HERE / name, "w", newline="") as file:
        file.write(",".join(columns) + "\n")
        for row in rows:
            file.write(",".join(format(float(row[column]), "g") for column in columns) + "\n")


def main(housing, wine, bikes):
    rows = lambda path: list(csv.DictReader(open(path)))
    complete = [row for row in rows(housing) if all(row.values())]
    write(
        "california_housing.csv",
        ["longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms",
         "population", "households", "median_income", "median_house_value"],
        drawn(complete, 2000),
    )
    red = [row for row in rows(wine) if row["colour"] == "red"]
    write("red_wine.csv", list(red[0])[1:], red)
    write(
        "bike_sharing.csv",
        ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp",
         "atemp", "hum", "windspeed", "cnt"],
        drawn(rows(bikes), 2000),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
