# Peak memory of all processes in MB (less is better; 150 were promised)
# rows: : peak memory, all processes$
# label: ^(?<of>.*): peak
set title "Peak memory of all processes in MB (less is better; 150 were promised)" left offset -26, 0
set xrange [0:160]
set arrow from 150, graph 0 to 150, graph 1 nohead dashtype 2 linecolor rgb theirs
plot data using ($2 / 2):0:($2 / 2):(0.35):(colour($3)):ytic(1) with boxxyerror linecolor rgb variable, \
     data using 2:0:(figure($2)) with labels left offset character 0.6, 0
