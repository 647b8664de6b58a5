#include "CArrow.h"

#if !__has_include(<parquet/arrow/reader.h>)
#error "Arrow's headers were not found: run `make setup`."
#endif
#include <arrow/api.h>
#include <arrow/io/api.h>
#include <arrow/ipc/api.h>
#include <parquet/arrow/reader.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int64_t rows_at_once = 1024;
constexpr int deepest = 64;

/// A failure that names what went wrong in the file.
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void check(const arrow::Status &status) {
    if (!status.ok()) throw Failure(status.message());
}

template <typename T> T check(arrow::Result<T> result) {
    check(result.status());
    return std::move(result).ValueUnsafe();
}

/// Writes values as JSON.
struct Writer {
    std::string text;

    void string(std::string_view value) {
        static const char digits[] = "0123456789abcdef";
        text += '"';
        for (unsigned char c : value) {
            if (c == '"' || c == '\\') {
                text += '\\';
                text += static_cast<char>(c);
            } else if (c < 0x20) {
                text += "\\u00";
                text += digits[c >> 4];
                text += digits[c & 15];
            } else {
                text += static_cast<char>(c);
            }
        }
        text += '"';
    }

    template <typename Number> void number(Number value) {
        char buffer[40];
        auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
        std::string_view digits(buffer, end - buffer);
        text += digits;
        // 3.0 must not become the integer 3.
        if constexpr (std::is_floating_point_v<Number>)
            if (digits.find_first_of(".e") == std::string_view::npos) text += ".0";
    }

    void real(double value) {
        if (std::isfinite(value)) number(value);
        else text += "null";
    }

    template <typename List> void list(const arrow::Array &array, int64_t row, int depth) {
        const auto &lists = static_cast<const List &>(array);
        items(*lists.values(), lists.value_offset(row), lists.value_length(row), depth);
    }

    void items(const arrow::Array &values, int64_t first, int64_t count, int depth) {
        text += '[';
        for (int64_t i = 0; i < count; ++i) {
            if (i) text += ',';
            value(values, first + i, depth + 1);
        }
        text += ']';
    }

    void object(const arrow::StructArray &array, int64_t row, int depth) {
        const auto &type = *array.struct_type();
        text += '{';
        for (int i = 0; i < type.num_fields(); ++i) {
            if (i) text += ',';
            string(type.field(i)->name());
            text += ':';
            value(*array.field(i), row, depth + 1);
        }
        text += '}';
    }

    template <typename Binary> void binary(const arrow::Array &array, int64_t row) {
        auto bytes = static_cast<const Binary &>(array).GetView(row);
        // Text that a writer forgot to call text; of anything else, such as pictures, JSON can say how much it is.
        if (arrow_is_utf8(bytes)) {
            string(bytes);
        } else {
            text += "{\"bytes\":";
            number(bytes.size());
            text += '}';
        }
    }

    static bool arrow_is_utf8(std::string_view bytes) {
        size_t i = 0;
        while (i < bytes.size()) {
            unsigned char c = bytes[i];
            size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 4;
            if (more == 4 || i + more >= bytes.size()) return false;
            for (size_t k = 1; k <= more; ++k)
                if ((static_cast<unsigned char>(bytes[i + k]) & 0xC0) != 0x80) return false;
            i += more + 1;
        }
        return true;
    }

    void value(const arrow::Array &array, int64_t row, int depth) {
        if (depth > deepest) throw Failure("its columns are nested more than 64 deep");
        if (array.IsNull(row)) {
            text += "null";
            return;
        }
        using namespace arrow;
        switch (array.type_id()) {
        case Type::NA: text += "null"; break;
        case Type::BOOL: text += static_cast<const BooleanArray &>(array).Value(row) ? "true" : "false"; break;
        case Type::INT8: number(int(static_cast<const Int8Array &>(array).Value(row))); break;
        case Type::INT16: number(static_cast<const Int16Array &>(array).Value(row)); break;
        case Type::INT32: number(static_cast<const Int32Array &>(array).Value(row)); break;
        case Type::INT64: number(static_cast<const Int64Array &>(array).Value(row)); break;
        case Type::UINT8: number(unsigned(static_cast<const UInt8Array &>(array).Value(row))); break;
        case Type::UINT16: number(static_cast<const UInt16Array &>(array).Value(row)); break;
        case Type::UINT32: number(static_cast<const UInt32Array &>(array).Value(row)); break;
        case Type::UINT64: number(static_cast<const UInt64Array &>(array).Value(row)); break;
        case Type::FLOAT: real(static_cast<const FloatArray &>(array).Value(row)); break;
        case Type::DOUBLE: real(static_cast<const DoubleArray &>(array).Value(row)); break;
        case Type::STRING: string(static_cast<const StringArray &>(array).GetView(row)); break;
        case Type::LARGE_STRING: string(static_cast<const LargeStringArray &>(array).GetView(row)); break;
        case Type::STRING_VIEW: string(static_cast<const StringViewArray &>(array).GetView(row)); break;
        case Type::BINARY: binary<BinaryArray>(array, row); break;
        case Type::LARGE_BINARY: binary<LargeBinaryArray>(array, row); break;
        case Type::BINARY_VIEW: binary<BinaryViewArray>(array, row); break;
        case Type::FIXED_SIZE_BINARY: binary<FixedSizeBinaryArray>(array, row); break;
        case Type::LIST: list<ListArray>(array, row, depth); break;
        case Type::LARGE_LIST: list<LargeListArray>(array, row, depth); break;
        case Type::FIXED_SIZE_LIST: list<FixedSizeListArray>(array, row, depth); break;
        case Type::MAP: list<MapArray>(array, row, depth); break;
        case Type::STRUCT: object(static_cast<const StructArray &>(array), row, depth); break;
        case Type::DICTIONARY: {
            const auto &encoded = static_cast<const DictionaryArray &>(array);
            value(*encoded.dictionary(), encoded.GetValueIndex(row), depth + 1);
            break;
        }
        case Type::EXTENSION: value(*static_cast<const ExtensionArray &>(array).storage(), row, depth + 1); break;
        // Dates, times, decimals and the like as Arrow spells them.
        default: string(check(array.GetScalar(row))->ToString());
        }
    }
};

void report(const char *message, char *error) {
    std::string text = message;
    // One line, without a full stop at its end.
    for (auto &c : text)
        if (c == '\n' || c == '\r') c = ' ';
    while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
    std::snprintf(error, LF_TABLE_ERROR_SIZE, "%s", text.empty() ? "unknown failure" : text.c_str());
}

template <typename Body> auto guarded(char *error, decltype(std::declval<Body>()()) failed, Body body) {
    try {
        return body();
    } catch (const std::exception &exception) {
        report(exception.what(), error);
    } catch (...) {
        report("unknown failure", error);
    }
    return failed;
}

}  // namespace

struct lf_table {
    std::unique_ptr<parquet::arrow::FileReader> parquet;
    std::shared_ptr<arrow::RecordBatchReader> batches;
    std::shared_ptr<arrow::ipc::RecordBatchFileReader> file;
    int next_batch = 0;
    /// The batch whose rows are handed out, and the first of them that was not.
    std::shared_ptr<arrow::RecordBatch> batch;
    int64_t row = 0;
    Writer writer;

    void open_parquet(const char *path) {
        auto source = check(arrow::io::ReadableFile::Open(path));
        parquet::arrow::FileReaderBuilder builder;
        parquet::ReaderProperties streaming;
        streaming.enable_buffered_stream();
        check(builder.Open(source, streaming));
        parquet::ArrowReaderProperties properties;
        properties.set_batch_size(rows_at_once);
        properties.set_use_threads(false);
        properties.set_pre_buffer(false);
        builder.properties(properties);
        parquet = check(builder.Build());
        batches = check(parquet->GetRecordBatchReader());
    }

    void open_arrow(const char *path) {
        auto source = check(arrow::io::ReadableFile::Open(path));
        char magic[6] = {};
        auto count = check(source->Read(sizeof magic, magic));
        check(source->Seek(0));
        if (count == sizeof magic && std::memcmp(magic, "ARROW1", sizeof magic) == 0)
            file = check(arrow::ipc::RecordBatchFileReader::Open(source));
        else batches = check(arrow::ipc::RecordBatchStreamReader::Open(source));
    }

    /// A row cannot be an object when two of its columns have one name.
    void check_names() const {
        auto names = (file ? file->schema() : batches->schema())->field_names();
        std::sort(names.begin(), names.end());
        auto twice = std::adjacent_find(names.begin(), names.end());
        if (twice != names.end()) throw Failure("two of its columns are called \"" + *twice + '"');
    }

    std::shared_ptr<arrow::RecordBatch> read_batch() {
        std::shared_ptr<arrow::RecordBatch> result;
        if (file) {
            if (next_batch < file->num_record_batches()) result = check(file->ReadRecordBatch(next_batch++));
        } else {
            check(batches->ReadNext(&result));
        }
        // Offsets and dictionary indices of a damaged file lead anywhere.
        if (result) check(result->ValidateFull());
        return result;
    }

    bool next() {
        while (!batch || row >= batch->num_rows()) {
            batch = read_batch();
            row = 0;
            if (!batch) return false;
        }
        writer.text.clear();
        const auto &schema = *batch->schema();
        int64_t end = std::min(batch->num_rows(), row + rows_at_once);
        for (; row < end && writer.text.size() < (size_t(4) << 20); ++row) {
            writer.text += '{';
            for (int column = 0; column < schema.num_fields(); ++column) {
                if (column) writer.text += ',';
                writer.string(schema.field(column)->name());
                writer.text += ':';
                writer.value(*batch->column(column), row, 0);
            }
            writer.text += "}\n";
        }
        return true;
    }
};

lf_table_t lf_table_open(const char *path, lf_table_format format, char error[LF_TABLE_ERROR_SIZE]) {
    return guarded(error, static_cast<lf_table_t>(nullptr), [&] {
        auto table = std::make_unique<lf_table>();
        if (format == LF_TABLE_PARQUET) table->open_parquet(path);
        else table->open_arrow(path);
        table->check_names();
        return table.release();
    });
}

void lf_table_free(lf_table_t table) { delete table; }

int lf_table_next(lf_table_t table, const char **text, size_t *count, char error[LF_TABLE_ERROR_SIZE]) {
    return guarded(error, -1, [&] {
        if (!table->next()) return 0;
        *text = table->writer.text.data();
        *count = table->writer.text.size();
        return 1;
    });
}
