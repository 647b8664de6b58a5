// Products with short matrices, many in one launch: what adapters of low rank take.
namespace lf_machine {

/// A matrix of any type, where it lies.
struct Matrix {
    void *data;
    index row_step, column_step;
    int type;  // 0 float, 1 double, 2 bfloat16, 3 float16

    template <typename real> LF_DEVICE real at(index row, index column) const {
        index place = row * row_step + column * column_step;
        if (type == 0) return real(static_cast<const float *>(data)[place]);
        if (type == 1) return real(static_cast<const double *>(data)[place]);
        if (type == 2) return real(widened(static_cast<const bfloat16 *>(data)[place]));
        return real(widened(static_cast<const float16 *>(data)[place]));
    }
    template <typename real> LF_DEVICE void put(index row, index column, real x) const {
        index place = row * row_step + column * column_step;
        if (type == 0) static_cast<float *>(data)[place] = float(x);
        else if (type == 1) static_cast<double *>(data)[place] = double(x);
        else if (type == 2) static_cast<bfloat16 *>(data)[place] = rounded<bfloat16>(float(x));
        else static_cast<float16 *>(data)[place] = rounded<float16>(float(x));
    }
};

/// `a·b`, `depth` numbers long.
struct ProductTerm {
    Matrix a, b;
    index depth;
};

/// `result = factor · Σ a·b`, added to what is there where `adds`.
struct ShortProduct {
    Matrix result;
    index rows, columns;
    double factor;
    int adds, first_term, terms;
};

constexpr int greatest_products = 16;

struct ShortProducts {
    ShortProduct products[greatest_products];
    ProductTerm terms[greatest_products];
    int count;

    template <typename Visit> LF_DEVICE void each_pointer(const Visit &visit) {
        int used = 0;
        for (int i = 0; i < count; ++i) {
            visit(products[i].result.data);
            used = greater(used, products[i].first_term + products[i].terms);
        }
        for (int i = 0; i < used; ++i) {
            visit(terms[i].a.data);
            visit(terms[i].b.data);
        }
    }
};

/// A tile of one of the products per block.
template <typename real, int tile_rows, int tile_columns> LF_KERNEL short_products(ShortProducts all) {
    constexpr int depth = 16;
    LF_SHARED real left[depth * (tile_rows + 1)], right[depth * (tile_columns + 1)];
    index rest = block();
    int which = 0;
    for (; which + 1 < all.count; ++which) {
        const ShortProduct &product = all.products[which];
        index tiles = (product.rows + tile_rows - 1) / tile_rows * ((product.columns + tile_columns - 1) / tile_columns);
        if (rest < tiles) break;
        rest -= tiles;
    }
    const ShortProduct &product = all.products[which];
    index across = (product.columns + tile_columns - 1) / tile_columns;
    index first_row = rest / across * tile_rows, first_column = rest % across * tile_columns;
    Fragment<real, tile_rows, tile_columns> sums;
    sums.clear();
    for (int t = 0; t < product.terms; ++t) {
        const ProductTerm &term = all.terms[product.first_term + t];
        // Neighbouring threads read neighbouring numbers.
        bool a_along = term.a.column_step == 1, b_along = term.b.row_step == 1;
        for (index first = 0; first < term.depth; first += depth) {
            barrier();
            for (int i = thread(); i < depth * tile_rows; i += threads()) {
                int k = a_along ? i % depth : i / tile_rows, row = a_along ? i / depth : i % tile_rows;
                bool is_there = first_row + row < product.rows && first + k < term.depth;
                left[k * (tile_rows + 1) + row] = is_there ? term.a.at<real>(first_row + row, first + k) : real(0);
            }
            for (int i = thread(); i < depth * tile_columns; i += threads()) {
                int k = b_along ? i % depth : i / tile_columns, column = b_along ? i / depth : i % tile_columns;
                bool is_there = first_column + column < product.columns && first + k < term.depth;
                right[k * (tile_columns + 1) + column] = is_there ? term.b.at<real>(first + k, first_column + column) : real(0);
            }
            barrier();
            sums.add(int(lesser(index(depth), term.depth - first)), left, 1, tile_rows + 1, right, tile_columns + 1);
        }
    }
    sums.each([&](int i, int j, real &sum) {
        index row = first_row + i, column = first_column + j;
        if (row >= product.rows || column >= product.columns) return;
        real result = real(product.factor) * sum;
        if (product.adds) result += product.result.at<real>(row, column);
        product.result.put(row, column, result);
    });
}

}  // namespace lf_machine

namespace lf_machine {

/// Numbers of one type that are wanted in another.
struct Conversion {
    const void *from;
    void *to;
    index count;
    int from_type, to_type;
};

struct Conversions {
    static constexpr int per_block = 4096;
    Conversion items[greatest_products];
    int count;

    template <typename Visit> LF_DEVICE void each_pointer(const Visit &visit) {
        for (int i = 0; i < count; ++i) visit(items[i].from), visit(items[i].to);
    }
};

/// All conversions, `per_block` numbers of one per block.
LF_KERNEL convert_all(Conversions all) {
    index rest = block();
    int which = 0;
    for (; which + 1 < all.count; ++which) {
        index blocks = (all.items[which].count + all.per_block - 1) / all.per_block;
        if (rest < blocks) break;
        rest -= blocks;
    }
    const Conversion &item = all.items[which];
    Matrix from{const_cast<void *>(item.from), 0, 1, item.from_type}, to{item.to, 0, 1, item.to_type};
    index end = lesser(item.count, (rest + 1) * all.per_block);
    for (index i = rest * all.per_block + thread(); i < end; i += threads()) {
        // Through double nothing is rounded twice.
        to.put(0, i, item.from_type == 1 ? from.at<double>(0, i) : double(from.at<float>(0, i)));
    }
}

/// A matrix whose columns are summed.
struct ColumnSum {
    Matrix from;
    void *to;
    index rows, columns;
    int to_type;
};

struct ColumnSums {
    static constexpr int per_block = 32, lanes = 8;
    ColumnSum items[greatest_products];
    int count;

    template <typename Visit> LF_DEVICE void each_pointer(const Visit &visit) {
        for (int i = 0; i < count; ++i) visit(items[i].from.data), visit(items[i].to);
    }
};

/// The gradients of biases: sums of columns, `per_block` of one matrix per block.
template <typename real> LF_KERNEL sum_columns(ColumnSums all) {
    constexpr int width = ColumnSums::per_block, lanes = ColumnSums::lanes;
    LF_SHARED real parts[lanes * width];
    index rest = block();
    int which = 0;
    for (; which + 1 < all.count; ++which) {
        index blocks = (all.items[which].columns + width - 1) / width;
        if (rest < blocks) break;
        rest -= blocks;
    }
    const ColumnSum &item = all.items[which];
    for (int i = thread(); i < lanes * width; i += threads()) {
        index column = rest * width + i % width;
        real sum = 0;
        if (column < item.columns)
            for (index row = i / width; row < item.rows; row += lanes) sum += item.from.at<real>(row, column);
        parts[i] = sum;
    }
    barrier();
    for (int i = thread(); i < width; i += threads()) {
        real sum = 0;
        for (int lane = 0; lane < lanes; ++lane) sum += parts[lane * width + i];
        Matrix to{item.to, 0, 1, item.to_type};
        if (rest * width + i < item.columns) to.put(0, rest * width + i, sum);
    }
}

}  // namespace lf_machine
