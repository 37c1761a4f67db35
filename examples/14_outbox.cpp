// SPDX-License-Identifier: MIT
// An order and the event that tells of it are stored in one transaction; a relay publishes the event, however often
// it dies; the consumer's inbox makes its effect happen once.
#include <chrono>
#include <filesystem>
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <omnibus/outbox/inbox.hpp>
#include <omnibus/outbox/relay.hpp>
#include <omnibus/outbox/sqlite.hpp>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;
using Bus = ob::EventBus<ob::Memory>;

ob::Result<> run(sqlite3* file, const std::string& sql) {
  if (sqlite3_exec(file, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return ob::retryable(sqlite3_errmsg(file));
}

void place(sqlite3* file, ob::SqliteOutbox& outbox, const std::string& order, bool paid = true) {
  run(file, "BEGIN IMMEDIATE").value();
  run(file, "INSERT INTO orders VALUES('" + order + "')").value();
  outbox.add("orders", order, {.key = order}).value();
  run(file, paid ? "COMMIT" : "ROLLBACK").value();
}

int main() {
  const auto path = std::filesystem::temp_directory_path() / ("omnibus-outbox-example." + std::to_string(::getpid()));
  sqlite3* shop = nullptr;
  if (sqlite3_open(path.c_str(), &shop) != SQLITE_OK) return 1;
  run(shop, "PRAGMA journal_mode=WAL; CREATE TABLE orders(id TEXT); CREATE TABLE invoices(order_id TEXT)").value();
  {
    ob::SqliteOutbox outbox{shop};
    place(shop, outbox, "o-1");
    place(shop, outbox, "o-2", false);
    place(shop, outbox, "o-3");
  }
  {
    Bus bus{{.group = "billing"}};
    ob::SqliteKeyStore inbox{{.path = path}};
    const auto billing = bus.subscribe("orders", ob::inbox(inbox, [](sqlite3* in, const std::string& order) {
      return run(in, "INSERT INTO invoices VALUES('" + order + "')");
    }));
    const auto relay_all = [&] {
      ob::OutboxRelay relay{bus, {.path = path, .lease = 100ms}};
      while (relay.backlog().value().pending > 0) std::this_thread::sleep_for(1ms);
    };
    // What was in the outbox is put back behind the relay's back: it is as if it had been killed before it could mark
    // what it had published.
    run(shop, "CREATE TABLE before AS SELECT * FROM omnibus_outbox").value();
    relay_all();
    run(shop, "INSERT INTO omnibus_outbox SELECT * FROM before").value();
    relay_all();
    while (billing.stats().handled + billing.stats().duplicates < 4) std::this_thread::sleep_for(1ms);
    std::cout << "came: " << billing.stats().handled + billing.stats().duplicates
              << ", duplicates: " << billing.stats().duplicates << "\n";
  }
  std::cout << "invoices:";
  const auto print = [](void*, int, char** values, char**) { return std::cout << ' ' << values[0], 0; };
  sqlite3_exec(shop, "SELECT order_id FROM invoices ORDER BY order_id", print, nullptr, nullptr);
  std::cout << "\n";
  sqlite3_close(shop);
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + part);
}
