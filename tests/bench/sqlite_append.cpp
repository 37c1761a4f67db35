// SPDX-License-Identifier: MIT
// sqlite.append: events of 256 bytes, one a call, each call durable when it returns (synchronous=FULL), by one
// caller and by 128 at once; and one by one with SQLite's own functions into the same tables, with the same
// questions about id and stream (checked), which is what one caller alone is compared with, and with none (plain).
// flush_us: what writing a page and flushing it to the same disk takes by itself.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/event_store/sqlite.hpp>

#include "bench.hpp"

namespace ob = omnibus;

namespace {

const std::string payload(256, 'x');

struct Figures {
  double events_a_second;
  double median_ms;
  double cpu_us;  ///< of an event
};

/// An id as UUIDv7 are: growing.
std::string id_of(int number) {
  char id[48];
  std::snprintf(id, sizeof id, "0193c7a1-%08x-7abc-8def-0123456789ab", static_cast<unsigned>(number));
  return id;
}

Figures append(const std::string& path, int callers, int events) {
  ob::SqliteEventStore store{{.path = path}};
  (void)ob::append(store, "warm-up", {}, {}).value();
  std::atomic<int> next{0};
  std::vector<double> took(static_cast<std::size_t>(events));
  std::vector<std::thread> threads;
  const double cpu = bench::cpu_seconds();
  const bench::Stopwatch watch;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&, stream = "order-" + std::to_string(i)] {
      for (int number = next++; number < events; number = next++) {
        const std::string id = id_of(number);
        const ob::NewEvent event{id, "OrderPlaced", payload};
        const bench::Stopwatch call;
        (void)ob::append(store, stream, ob::ExpectedVersion::any(), {&event, 1}).value();
        took[static_cast<std::size_t>(number)] = call.seconds() * 1e3;
      }
    });
  }
  for (auto& each : threads) each.join();
  const double seconds = watch.seconds();
  return {events / seconds, bench::median(std::move(took)), (bench::cpu_seconds() - cpu) / events * 1e6};
}

void require(int code, int wanted) {
  if (code != wanted) throw std::runtime_error{"SQLite says " + std::string{sqlite3_errstr(code)}};
}

Figures one_by_one(const std::string& path, int events, bool checked) {
  { ob::SqliteEventStore tables{{.path = path}}; (void)ob::append(tables, "order-0", {}, {}).value(); }
  ob::detail::sqlite::Database database;
  require(database.open(path, std::chrono::seconds{1}), SQLITE_OK);
  require(database.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"), SQLITE_OK);
  ob::detail::sqlite::Statement begin, commit, insert;
  require(begin.prepare(database, "BEGIN IMMEDIATE"), SQLITE_OK);
  require(commit.prepare(database, "COMMIT"), SQLITE_OK);
  require(insert.prepare(database, "INSERT INTO omnibus_events(stream, version, category, id, fingerprint, time, type,"
                                   " tags, metadata, payload) VALUES(1, ?1, 1, ?2, ?3, 0, ?4, '', '', ?5)"),
          SQLITE_OK);
  ob::detail::sqlite::Statement head, known, stream;
  require(head.prepare(database, "SELECT max(position) FROM omnibus_events"), SQLITE_OK);
  require(known.prepare(database, "SELECT fingerprint FROM omnibus_events WHERE id = ?1"), SQLITE_OK);
  require(stream.prepare(database, "SELECT id, kind, (SELECT max(version) FROM omnibus_events WHERE stream = s.id)"
                                   " FROM omnibus_streams s WHERE name = ?1"), SQLITE_OK);
  require(database.run("INSERT INTO omnibus_streams(name, category, kind, first, deleted_until)"
                       " VALUES(CAST('order-0' AS BLOB), 1, 1, 1, 0)"), SQLITE_OK);
  std::vector<double> took;
  const double cpu = bench::cpu_seconds();
  const bench::Stopwatch watch;
  for (int number = 0; number < events; ++number) {
    const std::string id = id_of(number);
    const bench::Stopwatch call;
    require(begin.step(), SQLITE_DONE);
    begin.reset();
    if (checked) {
      require(head.step(), SQLITE_ROW);
      head.reset();
      require(known.bind(1, id).step(), SQLITE_DONE);
      known.reset();
      require(stream.bind(1, "order-0").step(), SQLITE_ROW);
      stream.reset();
    }
    insert.bind(1, std::int64_t{number}).bind(2, id).bind(3, "0123456789abcdef").bind(4, "OrderPlaced").bind(5, payload);
    require(insert.step(), SQLITE_DONE);
    insert.reset();
    require(commit.step(), SQLITE_DONE);
    commit.reset();
    took.push_back(call.seconds() * 1e3);
  }
  return {events / watch.seconds(), bench::median(std::move(took)), (bench::cpu_seconds() - cpu) / events * 1e6};
}

double flush_us(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  if (fd < 0) throw std::runtime_error{"cannot write " + path};
  constexpr int times = 200;
  const bench::Stopwatch watch;
  for (int i = 0; i < times; ++i) {
    const std::string page(4096, 'x');
    if (::pwrite(fd, page.data(), page.size(), i * 4096) < 0 || ::fdatasync(fd) != 0) {
      throw std::runtime_error{"cannot flush " + path};
    }
  }
  const double seconds = watch.seconds();
  ::close(fd);
  return seconds / times * 1e6;
}

double median(const std::vector<Figures>& runs, double Figures::*figure) {
  std::vector<double> values;
  for (const Figures& each : runs) values.push_back(each.*figure);
  return bench::median(std::move(values));
}

}  // namespace

int main() {
  std::string folder = (std::filesystem::temp_directory_path() / "omnibus-bench.XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  std::vector<Figures> many, one, plain, checked;
  std::vector<double> flush;
  for (int i = 0; i < 5; ++i) {
    const std::string path = folder + "/" + std::to_string(i);
    flush.push_back(flush_us(path + ".page"));
    plain.push_back(one_by_one(path + ".plain", 2'000, false));
    checked.push_back(one_by_one(path + ".checked", 2'000, true));
    one.push_back(append(path + ".one", 1, 2'000));
    many.push_back(append(path + ".many", 128, 50'000));
  }
  std::filesystem::remove_all(folder);
  const double one_rate = median(one, &Figures::events_a_second), many_rate = median(many, &Figures::events_a_second);
  const double plain_rate = median(plain, &Figures::events_a_second);
  const double checked_rate = median(checked, &Figures::events_a_second);
  bench::print("sqlite.append", {{"events_128", many_rate},
                                 {"p50_ms_128", median(many, &Figures::median_ms)},
                                 {"cpu_us_128", median(many, &Figures::cpu_us)},
                                 {"events_1", one_rate},
                                 {"p50_ms_1", median(one, &Figures::median_ms)},
                                 {"cpu_us_1", median(one, &Figures::cpu_us)},
                                 {"events_plain", plain_rate},
                                 {"p50_ms_plain", median(plain, &Figures::median_ms)},
                                 {"cpu_us_plain", median(plain, &Figures::cpu_us)},
                                 {"events_checked", checked_rate},
                                 {"p50_ms_checked", median(checked, &Figures::median_ms)},
                                 {"cpu_us_checked", median(checked, &Figures::cpu_us)},
                                 {"grouping", many_rate / plain_rate},
                                 {"alone", one_rate / checked_rate},
                                 {"flush_us", bench::median(flush)}});
}
