import json, random, math
from decimal import Decimal, getcontext
getcontext().prec = 2000
random.seed(20261127)
cases=[]
def case(vals):
    s=sum((Decimal(repr(v)) for v in vals), Decimal(0))
    cases.append([[repr(v) for v in vals], repr(float(s))])
case([0.1]*10); case([0.1,0.2]); case([0.1,0.2,0.3]); case([1e16,1.0,1.0]); case([9007199254740993.0,0.5])
case([5e-324]*3); case([1.7976931348623157e308,1e292]); case([1e-9]*50)
for _ in range(60):
    d=random.randrange(0,9); case([round(random.random()*10**random.randrange(0,8),d) for _ in range(random.randrange(1,30))])
for _ in range(30):
    case([random.random()*10.0**random.randrange(-300,300) for _ in range(random.randrange(2,12))])
for _ in range(20):
    case([float(random.randrange(1,10**17)) / 10**random.randrange(0,12) for _ in range(random.randrange(2,12))])
json.dump(cases,open('sums.json','w'),indent=None,separators=(',',':'))
print(len(cases))
