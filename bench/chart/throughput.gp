# Jobs per second, end to end (more is better)
# rows: ^end to end, no latency$
set title "Jobs per second, end to end (more is better)" left offset -26, 0
plot data using ($2 / 2):0:($2 / 2):(0.35):(colour($3)):ytic(1) with boxxyerror linecolor rgb variable, \
     data using 2:0:(figure($2)) with labels left offset character 0.6, 0
