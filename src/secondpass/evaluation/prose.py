"""Sentences about search and ranking, in English and Chinese, from which texts are drawn."""

from __future__ import annotations

QUERY = "how does a second ranking stage decide which passage answers a question?"

_ENGLISH = """
A search engine rarely reads every document for every question.
Instead, a fast first stage looks into an index and brings back a few dozen candidates.
The index maps each word to the places where it occurs, much like the register at the end of a book.
Words that occur everywhere say little, so they weigh less than rare ones.
This works well when the question and the answer share their words.
It fails when they do not: someone who asks about a car may need a page that says vehicle.
Dense retrieval answers this with vectors, one for each passage, whose angles stand for meaning.
A vector is computed once and kept, which makes the lookup cheap but the comparison coarse.
A whole paragraph has to fit into a few hundred numbers, and details are lost on the way.
The second stage has more time for each candidate, because there are so few of them.
A cross-encoder reads the question and the passage together, word by word.
Every token can look at every other token, so a negation or a date on one side can change the verdict.
The price is that nothing can be computed before the question is known.
For one hundred candidates the model runs one hundred times.
Most of that work is multiplying matrices, and most of the wasted work is padding.
Texts have different lengths, and a naive batch is as wide as its longest member.
Sorting by length helps, and laying the rows end to end without any filling helps more.
Small integers are enough for the weights, provided that each channel keeps a scale of its own.
The outcome is a single number, and only its order within the list matters to the reader.
Some systems turn it into a probability, which is useful for saying that no passage answers at all.
A good evaluation asks people which passages are relevant, and compares the order with their verdicts.
Averages hide a lot: a method may help hard questions and hurt the easy ones.
In March 2024 the team measured 1,250 questions from its own support desk.
The median answer moved from rank 7 to rank 2, while the slowest request took 410 milliseconds.
Long documents are cut into passages, and the cut should not fall in the middle of a thought.
Headings help, since a paragraph often leaves out what its title has already said.
Where two passages are equally good, the one that was found first should stay in front.
An engineer in Lisbon reported that her laptop answers in half a second without any server.
"Show me the paragraph, not the file," one customer wrote, and the whole interface followed from it.
Caching helps little here, for people seldom ask the same thing in the same words.
Fusing two lists is simple: a passage earns a share of each list that falls with its rank.
Nobody reads the third page of results, so the work belongs to the first ten lines.
Errors of the first stage cannot be mended later; what was not found cannot be ranked.
That is why the depth of the candidate list is the first thing to tune.
Rain, wind and a broken sensor explained the gap in the record (see table 4).
The recipe asks for 250 g of flour, two eggs, a pinch of salt and patience.
Bridges expand in summer, which is why their joints are left open by a hand's breadth.
The museum opens at nine, closes at six, and lets children in for nothing.
Version 3.2 removed the option; use the environment instead, or a file beside the program.
"""

_CHINESE = """
搜索系统很少会为每个问题读遍所有文档。
第一阶段先在索引里查找，很快取回几十条候选。
索引记录每个词出现的位置，就像书后的名词表。
到处都有的词信息很少，罕见的词才更能区分内容。
如果问题和答案用词不同，只靠词语匹配就会漏掉答案。
向量检索把每段文字变成一组数字，用角度来比较意思。
向量可以事先算好，查询时很便宜，但比较也比较粗略。
第二阶段的候选不多，因此可以花更多时间细看每一条。
交叉编码器把问题和段落放在一起，逐词对照着读。
一个否定词或一个日期，就可能改变最后的判断。
代价是在问题出现之前什么都不能预先计算。
一百条候选，模型就要运行一百次。
大部分时间花在矩阵乘法上，而浪费大多来自补齐长度。
把长短相近的文本放在一起，可以少算许多无用的位置。
权重用八位整数保存就够了，只要每个通道有自己的比例。
最后得到的是一个分数，读者真正关心的是顺序。
好的评测要请人判断哪些段落有用，再和系统的排序比较。
平均值会掩盖问题：有的方法帮助了难题，却伤害了简单的问题。
二〇二四年三月，团队用自己的一千二百多个客服问题做了测试。
正确答案的名次从第七位提前到了第二位，最慢的一次用了四百毫秒。
长文档要切成段落，切口不应该落在一句话的中间。
标题很有帮助，因为段落常常省略标题已经说过的内容。
两个段落同样好的时候，先找到的应该排在前面。
没有人会翻到第三页，所以力气要用在前十行。
第一阶段漏掉的内容，后面再也补不回来。
因此，候选的数量是最先需要调整的参数。
把两个列表合并并不难：名次越靠前，得到的份额越大。
桥梁在夏天会变长，所以接缝处要留出一些空隙。
博物馆九点开门，六点关门，儿童免票。
这道菜需要半斤面粉、两个鸡蛋、一点盐和足够的耐心。
"""

ENGLISH = tuple(_ENGLISH.strip().splitlines())
CHINESE = tuple(_CHINESE.strip().splitlines())


def passages(count: int) -> list[str]:
    """That many texts of one to nine sentences, for engines that want examples to quantise by."""
    sentences = [*ENGLISH, *CHINESE]
    starts = [at % len(sentences) for at in range(count)]
    return [" ".join(sentences[start : start + 1 + at % 9]) for at, start in enumerate(starts)]
