#!/usr/bin/env bash
# FANN writes the settings of its training with six digits after the point, and some of them not at all.
#
# Packages: libfann2 and libfann-dev 2.2.0+ds-8 (Debian 12, amd64).
# Expected: `fann_save` and `fann_create_from_file` make "an exact copy of the neural network and all of the parameters
#           associated with the neural network", except three pointers and what is temporary. Weights, which have
#           twenty digits after the point in the file, are exact.
# Seen:     the weights are the same bits. Learning rate, momentum and the settings of Quickprop and RPROP are written
#           as decimals with six places: 0.00001234 comes back as 0.000012, and anything below 0.0000005 as 0, so a
#           rate of 0.0000004 stops all learning. The four settings of SARPROP are not in the file and come back as the
#           defaults. No call returns an error.
# Why it matters: fine-tuning has small rates, and a rate that decays over the run gets there by itself. A run that was
#           saved and loaded then learns at another rate, or no longer, and its file says so only to those who open it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/fann"
cd "$work"
options=(-qq -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" download libfann2=2.2.0+ds-8 libfann-dev=2.2.0+ds-8
for package in ./*.deb; do
    dpkg -x "$package" "$work/fann"
done
cat > "$work/seen.c" <<'C'
#include <stdio.h>
#include <stdlib.h>

#include "doublefann.h"

static fann_type input[2] = {0.5, -0.5}, answer[1] = {0.9};

static struct fann *read_back(struct fann *net, const char *path) {
    if (fann_save(net, path) != 0) {
        exit(1);
    }
    return fann_create_from_file(path);
}

static void list(struct fann *net, struct fann_connection *connections) {
    fann_get_connection_array(net, connections);
}

/* How many weights a pass over one example moves. */
static int moved(struct fann *net, int count) {
    struct fann_connection before[16], after[16];
    list(net, before);
    fann_train(net, input, answer);
    list(net, after);
    int different = 0;
    for (int index = 0; index < count; index++) {
        different += before[index].weight != after[index].weight;
    }
    return different;
}

#define SHOW(name, digits) \
    printf("%-35s %.*f -> %.*f\n", #name, digits, fann_get_##name(net), digits, fann_get_##name(back))

int main(int count, char **arguments) {
    struct fann *net = fann_create_standard(3, 2, 3, 1);
    const char *path = arguments[count - 1];
    struct fann_connection written[16], read[16];
    int weights = fann_get_total_connections(net), same = 0;
    list(net, written);
    for (int index = 0; index < weights; index++) {
        fann_set_weight(net, written[index].from_neuron, written[index].to_neuron, 1.0 / (3 + index));
    }
    fann_set_training_algorithm(net, FANN_TRAIN_INCREMENTAL);
    fann_set_learning_rate(net, 0.00001234f);
    fann_set_learning_momentum(net, 0.12345678f);
    fann_set_quickprop_decay(net, -0.0000004f);
    fann_set_rprop_delta_min(net, 0.0000001f);
    fann_set_sarprop_weight_decay_shift(net, -3);
    fann_set_sarprop_step_error_threshold_factor(net, 0.25f);
    fann_set_sarprop_step_error_shift(net, 2);
    fann_set_sarprop_temperature(net, 0.125f);
    fann_set_bit_fail_limit(net, 0.0000000001);
    struct fann *back = read_back(net, path);
    SHOW(learning_rate, 8);
    SHOW(learning_momentum, 8);
    SHOW(quickprop_decay, 8);
    SHOW(rprop_delta_min, 8);
    SHOW(sarprop_weight_decay_shift, 3);
    SHOW(sarprop_step_error_threshold_factor, 3);
    SHOW(sarprop_step_error_shift, 3);
    SHOW(sarprop_temperature, 3);
    SHOW(bit_fail_limit, 10);

    list(net, written);
    list(back, read);
    for (int index = 0; index < weights; index++) {
        same += written[index].weight == read[index].weight;
    }
    printf("%d of %d weights are the same\n", same, weights);

    fann_set_learning_momentum(net, 0);
    fann_set_learning_rate(net, 0.0000004f);
    back = read_back(net, path);
    int before = moved(net, weights), after = moved(back, weights);
    printf("with a rate of 0.0000004, weights that move: %d, after the file %d\n", before, after);
    return 0;
}
C
library="$work/fann/usr/lib/x86_64-linux-gnu/libdoublefann.a"
cc -no-pie -I"$work/fann/usr/include" "$work/seen.c" "$library" -lm -fopenmp -o "$work/run"
cat > "$work/expected" <<'TEXT'
learning_rate                       0.00001234 -> 0.00001200
learning_momentum                   0.12345678 -> 0.12345700
quickprop_decay                     -0.00000040 -> -0.00000000
rprop_delta_min                     0.00000010 -> 0.00000000
sarprop_weight_decay_shift          -3.000 -> -6.644
sarprop_step_error_threshold_factor 0.250 -> 0.100
sarprop_step_error_shift            2.000 -> 1.385
sarprop_temperature                 0.125 -> 0.015
bit_fail_limit                      0.0000000001 -> 0.0000000001
13 of 13 weights are the same
with a rate of 0.0000004, weights that move: 13, after the file 0
TEXT
"$work/run" "$work/net" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
